"""qgen: would a quantum method save energy in a language model's life? Measured, stage by stage, in JAX."""

__version__ = "0.1.0"
