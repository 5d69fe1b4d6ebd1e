"""What encoding does unless told otherwise; apart, for the program tells it without an encoder."""

DEFAULT_LAMBDA = 1e-3
DEFAULT_EFFORT = 5
