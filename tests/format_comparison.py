"""What fieldpack makes of a file against what the reference makes of it."""

from __future__ import annotations

import format_reference as reference
import numpy as np
import pytest
from numpy.typing import NDArray

import fieldpack


def assert_draws_as_reference(data: bytes, threads: int = 0) -> NDArray[np.generic]:
    """Check that fieldpack draws the bits that the format means; return them (H, W, C)."""
    expected = reference.draw(reference.read_signal(data))
    decoded = fieldpack.decode(data, threads=threads)
    shape = expected.shape if expected.shape[2] > 1 else expected.shape[:2]
    assert decoded.shape == shape
    assert decoded.dtype == expected.dtype
    assert decoded.tobytes() == expected.tobytes()
    return expected


def assert_refused(data: bytes, match: str | None = None) -> None:
    """Check that neither opens the file, fieldpack with a message that matches."""
    with pytest.raises(reference.FormatViolationError):
        reference.read_signal(data)
    with pytest.raises(fieldpack.FormatError, match=match):
        fieldpack.open(data)
