"""Views of a picture: mirrored, turned and shifted, and back.

What depends on where a network's or a pyramid's cells happen to lie differs from view to view, and
the mean over views has less of it: Coifman and Donoho, "Translation-invariant de-noising", 1995.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VIEWS = {1: 1, 2: 2, 3: 4, 4: 8, 5: 8, 6: 16, 7: 16, 8: 32, 9: 32}
"""Views that are averaged, by effort."""

CELL = 16
"""Sides of a view are multiples of it, in pixels."""

_ORIENTATIONS = 8
_SHIFTS = ((0, 0), (3, 5), (4, 1), (7, 2))  # all four phases of cells of 2 x 2


def see(picture: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """Return view 0 .. 31 of (H, W, C), continued at the edges to whole cells."""
    orientation, (top, left) = _parts(view)
    if orientation & 1:
        picture = picture[:, ::-1]
    picture = np.rot90(picture, _turns(orientation))
    height, width = picture.shape[:2]
    frame = (top, -(height + top) % CELL), (left, -(width + left) % CELL), (0, 0)
    return np.pad(picture, frame, mode="edge")


def restore(seen: NDArray[np.float32], view: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the picture of `size` (H, W) that a view shows."""
    orientation, (top, left) = _parts(view)
    turns = _turns(orientation)
    height, width = size if turns % 2 == 0 else size[::-1]
    picture = np.rot90(seen[top : top + height, left : left + width], -turns)
    return picture[:, ::-1] if orientation & 1 else picture


def _parts(view: int) -> tuple[int, tuple[int, int]]:
    # Every orientation meets every shift; the first four views have all of the shifts.
    return view % _ORIENTATIONS, _SHIFTS[(view + view // _ORIENTATIONS) % len(_SHIFTS)]


def _turns(orientation: int) -> int:
    return (0, 2, 1, 3)[orientation >> 1]
