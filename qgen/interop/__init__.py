"""Bridges to other libraries: PennyLane and OpenQASM. Nothing here is imported by the rest of qgen."""
