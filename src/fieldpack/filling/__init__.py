"""Pictures with missing pixels: a network proposes them, a field explains them."""

from fieldpack.filling.fill import fill, fill_field, fill_samples
from fieldpack.filling.samples import Samples, read_samples

__all__ = ["Samples", "fill", "fill_field", "fill_samples", "read_samples"]
