"""A field: a signal as a function of coordinates, read from or about to become a .fpk file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldpack.bytestream import ByteWriter
from fieldpack.codec.payload import Pyramid
from fieldpack.container import VERSION, Section, pack, unpack
from fieldpack.content import Content, NetworkContent, PyramidContent
from fieldpack.errors import FormatError, RequestError
from fieldpack.files import write_atomically
from fieldpack.program import QuantizedTensor, write_program
from fieldpack.program.graph import Program
from fieldpack.rendering import Progress, Region, Size, View, draw
from fieldpack.report import FitReport
from fieldpack.signals import Colour, Picture
from fieldpack.signals.description import (
    Description,
    PictureDescription,
    read_description,
    to_units,
)

SIGNAL = "S"
NETWORK = "N"
PYRAMID = "P"
PALETTE = "p"
PROFILE = "c"
_MAX_PROFILE_BYTES = 1 << 24


class Field:
    """A function from coordinates to values, held by the bytes of a .fpk file.

    Coordinates come x first, then y, and so on. A picture's coordinates run from -1 to 1 over its
    whole area: the centre of pixel i of n is at (2i + 1) / n - 1.

    Args:
        data: The bytes of a file.
        threads: Threads of the engine; 0 means one for each core. Results do not depend on it.
        skipped_grids: How many of a pyramid's finest grids to leave undecoded: a preview.
        pyramid: What the file's pyramid decodes to, where that is known already; goes with no
            skipped grids.

    Attributes:
        description: Sizes, sample type and units of the signal.
        report: How training went, if `fieldpack.fit` made this field, else None.

    Raises:
        FormatError: The bytes are not a valid file, or need what this release does not know.
    """

    report: FitReport | None = None

    def __init__(
        self,
        data: bytes,
        *,
        threads: int = 0,
        skipped_grids: int = 0,
        pyramid: Pyramid | None = None,
    ) -> None:
        self._data = data
        sections = _first_signal(unpack(data))
        self.description: Description = read_description(sections[SIGNAL])
        self._sections = sections
        self._palette = _read_palette(sections.get(PALETTE), self.description)
        self._icc_profile = _read_profile(sections.get(PROFILE))
        self._content: Content
        if NETWORK in sections:
            network = sections[NETWORK]
            self._content = NetworkContent(network, self.description, threads, skipped_grids)
        else:
            payload = sections[PYRAMID]
            self._content = PyramidContent(
                payload, self.description, threads, skipped_grids, pyramid
            )
        self._evaluator = self._content.evaluator

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the signal's array, channels last: (H, W, C) for a picture."""
        return self.description.shape

    @property
    def domain(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest coordinate of each axis, x first; values exist beyond, too."""
        return self.description.domain

    def __call__(self, coordinates: ArrayLike) -> NDArray[np.float32]:
        """Evaluate the field at arbitrary points.

        Args:
            coordinates: (n, d) numbers, x first, in the units of `domain`.

        Returns:
            (n, C) values in the signal's units (0 to 255 for an 8-bit picture), neither rounded
            nor clipped.

        Raises:
            RequestError: The array has another shape or is not finite.
        """
        points = np.asarray(coordinates, dtype=np.float64)
        axes = len(self.description.positions)
        if points.ndim != 2 or points.shape[1] != axes:
            raise RequestError(f"coordinates have shape (n, {axes}), not {points.shape}")
        if not np.isfinite(points).all():
            raise RequestError("some coordinates are not finite")
        low, high = np.array(self.domain).T
        values = self._evaluator.points((points - low) * (2.0 / (high - low)) - 1.0)
        return to_units(values, self.description.units)

    def grid(self, shape: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Evaluate the field on a regular grid over its domain.

        Args:
            shape: Points along each axis in array order, (n_last, ..., n_0), so (H, W) for a
                picture; None for the signal's own resolution. Point i of n along an axis is the
                centre of the i-th of n equal parts of the axis.

        Returns:
            Values (*shape, C) in the signal's units, neither rounded nor clipped.
        """
        counts = tuple(self.shape[:-1] if shape is None else shape)
        if len(counts) != len(self.domain) or min(counts) < 1:
            raise RequestError(f"a grid of this field has {len(self.domain)} positive sizes")
        axes = [(2.0 * np.arange(n) + 1.0) / n - 1.0 for n in counts[::-1]]
        return to_units(self._evaluator.grid(axes), self.description.units)

    def picture(
        self,
        *,
        scale: float | None = None,
        size: Size | None = None,
        region: Region | None = None,
        progress: Progress | None = None,
    ) -> Picture:
        """Draw the picture in the mode and depth it came in.

        Args:
            scale: Size of the result relative to the region.
            size: (width, height) of the result in pixels instead.
            region: (x, y, width, height) of the part to draw, in the picture's own pixels.
            progress: Told the part done, 0 to 1, now and then.

        Raises:
            RequestError: The field is not a picture, or the view makes no sense.
        """
        description = self.description
        if not isinstance(description, PictureDescription):
            raise RequestError("this file holds samples, not a picture; evaluate it at coordinates")
        view = View.of(description.width, description.height, scale, size, region)
        samples = draw(self._evaluator, description, view, progress, self._content.resolution)
        return Picture(
            samples,
            description.colour,
            description.bit_depth,
            palette=self._palette,
            icc_profile=self._icc_profile,
        )

    def preview(self) -> Picture:
        """Draw what the grids that were not skipped hold, a pixel for each latent of the finest.

        Raises:
            RequestError: The field is not a picture.
        """
        if not isinstance(self.description, PictureDescription):
            raise RequestError("this file holds samples, not a picture")
        height, width = self._content.resolution
        return self.picture(size=(width, height))

    def to_bytes(self) -> bytes:
        """Return the bytes of the file."""
        return self._data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises:
            FieldpackError: It cannot be written.
        """
        write_atomically(path, self._data)

    @cached_property
    def info(self) -> dict[str, Any]:
        """What is inside and where the bytes go, as plain values that JSON can hold."""
        description = self.description
        info: dict[str, Any] = {
            "format_version": VERSION,
            "bytes": len(self._data),
            "shape": list(self.shape),
        }
        if isinstance(description, PictureDescription):
            info |= {
                "kind": "picture",
                "width": description.width,
                "height": description.height,
                "channels": description.channels,
                "colour": description.colour.name.lower(),
                "bit_depth": description.bit_depth,
                "bpp": 8 * len(self._data) / (description.width * description.height),
            }
        else:
            info |= {
                "kind": "samples",
                "channels": description.channels,
                "domain": [list(axis) for axis in description.domain],
            }
        info["sections"] = [
            {"name": name, "bytes": len(payload)} for name, payload in self._sections.items()
        ]
        info |= self._content.info()
        return info


def network_file(
    description: Description,
    program: Program,
    tensors: Sequence[QuantizedTensor],
    *,
    palette: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None,
) -> bytes:
    """Return the bytes of a file that holds one signal as a network.

    Args:
        description: The signal's.
        program: The network; its tensors are replaced by `tensors`.
        tensors: The quantised weights, one for each tensor of the program, in order.
        palette: (n, 3 or 4) colours that a picture is drawn with, if only these.
        icc_profile: A picture's colour profile.
    """
    content = Section(NETWORK, write_program(program, tensors))
    return _file(description, content, palette, icc_profile)


def pyramid_file(
    description: PictureDescription,
    payload: bytes,
    *,
    palette: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None,
) -> bytes:
    """Return the bytes of a file that holds one picture as a pyramid.

    Args:
        description: The picture's.
        payload: What `fieldpack.codec.write_pyramid` returns.
        palette: (n, 3 or 4) colours that the picture is drawn with, if only these.
        icc_profile: Its colour profile.
    """
    return _file(description, Section(PYRAMID, payload), palette, icc_profile)


def _file(
    description: Description,
    content: Section,
    palette: NDArray[np.uint8] | None,
    icc_profile: bytes | None,
) -> bytes:
    writer = ByteWriter()
    description.write(writer)
    sections = [Section(SIGNAL, writer.getvalue())]
    if palette is not None:
        sections.append(Section(PALETTE, palette.tobytes()))
    if icc_profile is not None:
        sections.append(Section(PROFILE, zlib.compress(icc_profile, 9)))
    return pack([*sections, content])


def _first_signal(sections: Sequence[Section]) -> dict[str, bytes]:
    """Return the sections of a file's first signal by name; others are for other programs."""
    if not sections or sections[0].name != SIGNAL:
        raise FormatError("the file does not start with a signal")
    found: dict[str, bytes] = {}
    for section in sections:
        if section.name == SIGNAL and SIGNAL in found:
            break
        if section.name not in (SIGNAL, NETWORK, PYRAMID, PALETTE, PROFILE):
            if section.skippable:
                continue
            raise FormatError(
                f"the file needs section {section.name!r}, which this release does not know"
            )
        if section.name in found:
            raise FormatError(f"the file has section {section.name!r} twice for one signal")
        found[section.name] = section.payload
    if (NETWORK in found) == (PYRAMID in found):
        raise FormatError("the file's signal does not have one field")
    return found


def _read_palette(payload: bytes | None, description: Description) -> NDArray[np.uint8] | None:
    if payload is None:
        return None
    channels = description.channels
    fits = (
        isinstance(description, PictureDescription)
        and description.colour in (Colour.RGB, Colour.RGBA)
        and description.bit_depth == 8
        and len(payload) % channels == 0
        and 1 <= len(payload) // channels <= 256
    )
    if not fits:
        raise FormatError("the file's palette is not valid")
    return np.frombuffer(payload, np.uint8).reshape(-1, channels)


def _read_profile(payload: bytes | None) -> bytes | None:
    if payload is None:
        return None
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(payload, _MAX_PROFILE_BYTES)
    except zlib.error:
        raise FormatError("the file's colour profile is damaged") from None
    if not inflater.eof:
        raise FormatError("the file's colour profile is damaged or too large")
    return profile
