"""fieldpack turns images into small files of latents and tiny neural networks, and back.

Example:
    >>> import fieldpack as fp
    >>> data = fp.encode("photo.png")  # compress a picture: the bytes of a .fpk file
    >>> image = fp.decode(data, scale=2)  # draw it at any size
    >>> field = fp.fit("photo.png", seconds=30)  # train a coordinate network on a picture
    >>> whole = fp.fill(image, mask)  # rebuild the pixels where mask is false
    >>> field.save("photo.fpk")  # the network is the file
    >>> field([[0.0, 0.0]])  # its value at any point
"""

from typing import Any

from fieldpack.api import decode, open, preview
from fieldpack.encoding import encode
from fieldpack.errors import (
    FieldpackError,
    FormatError,
    GoalMissedWarning,
    RequestError,
    SignalError,
)
from fieldpack.field import Field
from fieldpack.filling import fill, fill_field, fill_samples
from fieldpack.fitting import FitState, fit
from fieldpack.report import FitReport
from fieldpack.signals import Colour, Picture

__all__ = [
    "Colour",
    "Field",
    "FieldpackError",
    "FitReport",
    "FitState",
    "FormatError",
    "GoalMissedWarning",
    "Picture",
    "RequestError",
    "SignalError",
    "decode",
    "encode",
    "fill",
    "fill_field",
    "fill_samples",
    "fit",
    "open",
    "preview",
]


def __getattr__(name: str) -> Any:
    """Look up the version only when asked: reading the metadata takes longer than a decode."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("fieldpack")
    raise AttributeError(f"module 'fieldpack' has no attribute {name!r}")
