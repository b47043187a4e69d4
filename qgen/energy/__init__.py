"""Energy: measured on this machine, projected for quantum machines from their prices, compared with intervals."""
