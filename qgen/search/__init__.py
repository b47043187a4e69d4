"""Hyperparameter studies: spaces, vectorised sweeps, strategies, storages and tabular benchmarks."""
