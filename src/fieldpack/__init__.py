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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fieldpack.api import decode, open, preview
from fieldpack.errors import (
    FieldpackError,
    FormatError,
    GoalMissedWarning,
    RequestError,
    SignalError,
)
from fieldpack.field import Field
from fieldpack.report import FitReport
from fieldpack.signals import Colour, Picture

if TYPE_CHECKING:
    from fieldpack.encoding import encode
    from fieldpack.filling.fill import fill, fill_field, fill_samples
    from fieldpack.fitting.fit import FitState, fit

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


# Loaded when first used, since decoding needs none of it and is soon done.
_LATER = {
    "FitState": "fieldpack.fitting.fit",
    "encode": "fieldpack.encoding",
    "fill": "fieldpack.filling.fill",
    "fill_field": "fieldpack.filling.fill",
    "fill_samples": "fieldpack.filling.fill",
    "fit": "fieldpack.fitting.fit",
}


def __getattr__(name: str) -> Any:
    """Look up what is loaded later, and the version, whose metadata is slow to read."""
    if name in _LATER:
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("fieldpack")
    raise AttributeError(f"module 'fieldpack' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return all names, those that are loaded later included."""
    return sorted({*globals(), *_LATER})
