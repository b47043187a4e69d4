"""Experiments: absl scripts that run the library, write records and draw what they say."""

import os

# OpenBLAS spins up threads that cost many times the CPU time of the small factorisations here, and would distort every
# energy that is measured; its threads must be set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
