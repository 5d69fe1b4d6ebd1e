"""Where a fit begins: the first networks and, from the picture alone, the first latents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fieldpack.codec.model import FloatArray, ModelShape

# The Catmull-Rom kernel at distances 1/4, 3/4, 5/4 and 7/4.
CUBIC_TAPS = (0.8671875, 0.2265625, -0.0703125, -0.0234375)
HALVING_TAPS = (-0.03, 0.53, 0.53, -0.03)
_FINE_LEVELS = 3


def initial_parameters(
    shape: ModelShape,
    lambda_: float,
    seed: int = 0,
    *,
    is_flat: bool = False,
    finest: int = 0,
) -> FloatArray:
    """Return the first networks of a fit without a prior, as a flat vector.

    Cubic upsampling, 3x3 layers that change nothing, and a synthesis that begins as a linear
    function: each grid moves the colour along one axis. A random one is a lottery, even for long
    fits. `is_flat` and `finest` as for `analyse`.
    """
    random = np.random.default_rng(seed)
    flat = np.zeros(shape.parameters, np.float32)
    views = shape.views(flat)
    views["taps"][:] = CUBIC_TAPS
    for name, tensor in views.items():
        if name.endswith("weight") and not name.startswith("convolution"):
            tensor[:] = random.normal(0, np.sqrt(1.0 / tensor.shape[1]), tensor.shape)
    first = views["synthesis.0.weight"]
    first[:] = random.normal(0, 1, first.shape)
    for layer in range(1, shape.synthesis.layers):
        views[f"synthesis.{layer}.weight"][:] *= np.sqrt(2)
    if len(shape.synthesis_hidden) == 1 and shape.synthesis_hidden[0] > 1:
        # Pairs of units that see opposite inputs, with opposite outputs, add up to a linear
        # function: the "looks-linear" start of Balduzzi et al., 2017.
        pairs = shape.synthesis_hidden[0] // 2
        last = views["synthesis.1.weight"]
        last[:] = 0
        first[pairs : 2 * pairs] = -first[:pairs]
        axes = [axis or 0 for axis in axis_of_grids(shape, is_flat=is_flat, finest=finest)]
        directions = colour_axes(shape.channels)[axes].T
        last[:, :pairs] = directions @ np.linalg.pinv(first[:pairs])
        last[:, pairs : 2 * pairs] = -last[:, :pairs]
    first *= first_gains(shape, lambda_)
    views[f"synthesis.{shape.synthesis.layers - 1}.bias"][:] = 0.5
    for index in range(max(shape.set_of_grid) + 1):
        views[f"context{index}.{shape.context.layers - 1}.weight"][:] *= 0.1
    return flat


def analyse(
    image: FloatArray,
    shape: ModelShape,
    lambda_: float,
    threshold: float = 0.5,
    *,
    is_flat: bool = False,
    finest: int = 0,
) -> list[FloatArray]:
    """Return latents (h_k, w_k) of each grid from which the linear networks draw the picture.

    A Laplacian pyramid of the picture's colour axes (Burt and Adelson, "The Laplacian pyramid as a
    compact image code", 1983): it has low frequencies where they are cheapest, in coarse grids.

    If flat, luminance is all in the finest grid, as it is. Where that has little noise to hide, its
    context model sees the picture itself and predicts it better than what a pyramid leaves over: a
    fit ends with fewer bits for busy pictures and fine steps, and with more for all others. Neither
    turns into the other however long it goes on.

    Args:
        image: (H, W, C) float32.
        shape: The model's sizes.
        lambda_: What the networks were made for: says how large a quantisation step is.
        threshold: Latents of fine grids of a pyramid are closer to zero by so many quantisation
            steps.
        is_flat: Whether luminance is all in the finest grid.
        finest: Grids finer than this one are left at zero.
    """
    of_grid = axis_of_grids(shape, is_flat=is_flat, finest=finest)
    gains = first_gains(shape, lambda_)
    latents = [
        np.zeros([-(-side >> k) for side in image.shape[:2]], np.float32)
        for k in range(shape.grids)
    ]
    for axis in sorted({axis for axis in of_grid if axis is not None}):
        own = {k for k in range(shape.grids) if of_grid[k] == axis}
        direction = colour_axes(shape.channels)[axis].astype(np.float32)
        planes: list[FloatArray] = [(image - np.float32(0.5)) @ direction]
        for _ in range(max(own)):
            planes.append(halved(planes[-1]))
        known: FloatArray | None = None
        for level in range(max(own), -1, -1):
            plane = planes[level]
            if known is not None:
                known = doubled(known, plane.shape)
            if level not in own:
                continue
            rest = (plane if known is None else plane - known) / np.float32(gains[level])
            if level < max(_FINE_LEVELS, finest + 2) and not is_flat:
                rest = np.sign(rest) * np.maximum(np.abs(rest) - np.float32(threshold), 0)
            latents[level], known = np.ascontiguousarray(rest, np.float32), plane
    return latents


def first_gains(shape: ModelShape, lambda_: float) -> npt.NDArray[np.float64]:
    """How far one quantisation step of each grid (grids,) moves a colour at first.

    Coarser grids have finer steps, because each of their latents moves more pixels.
    """
    falling = 2.0 ** (-0.5 * np.arange(shape.grids))
    gains: npt.NDArray[np.float64] = 0.1 * (lambda_ / 0.001) ** 0.25 * falling
    return gains


def axis_of_grids(shape: ModelShape, *, is_flat: bool = False, finest: int = 0) -> list[int | None]:
    """Which of the colour axes each grid moves at first; None where it has nothing to begin with.

    A pyramid has luminance in the two finest grids; a flat one, and one without the finest grid,
    only in the finest. Grids finer than `finest` have nothing.
    """
    colours = list(range(1, shape.channels))
    nothing: list[int | None] = [None] * finest
    if not is_flat:
        twice = [] if finest else [0]
        return [*nothing, *twice, *[0, *colours] * shape.grids][: shape.grids]
    axes: list[int | None] = [*nothing, 0, *colours, *[None] * shape.grids][: shape.grids]
    if shape.grids >= finest + 1 + 2 * len(colours):
        axes[shape.grids - len(colours) :] = colours
    return axes


def colour_axes(channels: int) -> npt.NDArray[np.float64]:
    """Orthonormal axes (axes, channels) of colour space.

    Luminance and two differences of colour, then alpha; grey and alpha stand for themselves.
    """
    axes = np.eye(channels)
    if channels >= 3:
        axes[:3, :3] = (1, 1, 1), (1, 0, -1), (-0.5, 1, -0.5)
    normed: npt.NDArray[np.float64] = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return normed


def halved(plane: FloatArray) -> FloatArray:
    """Return a plane (h, w) of half the height and width, each value from the sixteen nearest."""
    return _halve(_halve(plane).T).T


def doubled(plane: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """Return a plane of twice the height and width, as the first networks' upsampling does it.

    Args:
        plane: (h, w) float32.
        size: (height, width) of what is returned: twice those of `plane`, or one less.
    """
    return _double(_double(plane, size[0]).T, size[1]).T


def _halve(plane: FloatArray) -> FloatArray:
    """Half the rows, each from the four nearest."""
    rows = 2 * np.arange((len(plane) + 1) // 2)
    out = np.zeros((len(rows), plane.shape[1]), np.float32)
    for i, tap in enumerate(HALVING_TAPS):
        out += np.float32(tap) * plane[np.clip(rows + i - 1, 0, len(plane) - 1)]
    return out


def _double(plane: FloatArray, rows: int) -> FloatArray:
    """Twice the rows, as the first networks' upsampling does it."""
    fine = np.arange(rows)
    i, away = fine // 2, np.where(fine % 2 == 1, 1, -1)
    out = np.zeros((rows, plane.shape[1]), np.float32)
    for tap, at in zip(CUBIC_TAPS, (i, i + away, i - away, i + 2 * away), strict=True):
        out += np.float32(tap) * plane[np.clip(at, 0, len(plane) - 1)]
    return out
