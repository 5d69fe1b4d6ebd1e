"""Defaults of encoding, apart from the encoder: the program shows them without loading that."""

DEFAULT_LAMBDA = 1e-3
DEFAULT_EFFORT = 5
