"""Circuits as layers of networks: flax NNX modules, and the branches that they replace in a transformer."""

from qgen.nn.layer import QuantumLayer
from qgen.nn.quixer import Quixer
from qgen.nn.reuploading import Reuploading

__all__ = ["QuantumLayer", "Quixer", "Reuploading"]
