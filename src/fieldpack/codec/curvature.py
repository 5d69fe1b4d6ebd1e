"""Curvature of the loss in the networks' weights, from samples of the picture.

Gauss-Newton for the distortion, the empirical Fisher matrix for the rate (Martens, "New insights
and perspectives on the natural gradient method", 2020). Both are sums over samples of products of
first derivatives, which stay cheap because the networks are tiny. Single precision is enough and
twice as fast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fieldpack.codec.model import (
    ANCESTORS,
    LEAK,
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    NEIGHBOURS,
    FloatArray,
    ModelShape,
    PerceptronShape,
)

Matrix = npt.NDArray[np.float64]

_CONTEXT_SAMPLES = 10_000
_CROPS, _CROP_SIZE = 8, 64
_CROP_SAMPLES = 500
_REACH = max(max(-dy, abs(dx)) for dy, dx in NEIGHBOURS)


def context_curvature(
    shape: ModelShape,
    parameters: FloatArray,
    index: int,
    latents: Sequence[FloatArray],
    random: np.random.Generator,
) -> Matrix:
    """Curvature of the bits of all latents in one context set's weights, in their flat order.

    Args:
        shape: Sizes of the model.
        parameters: The flat vector.
        index: Of the context set.
        latents: Quantised, one array a grid, finest first.
        random: Picks the samples.
    """
    grids = {
        k: grid
        for k, (grid, used) in enumerate(zip(latents, shape.set_of_grid, strict=True))
        if used == index and grid.any()
    }
    weights = _layers(shape, parameters, f"context{index}", shape.context)
    if not grids:
        return np.zeros((shape.context.parameters, shape.context.parameters))
    total = sum(grid.size for grid in grids.values())
    inputs, values, counts = [], [], []
    for k, grid in grids.items():
        share = max(_CONTEXT_SAMPLES * grid.size // total, 256)
        count = min(grid.size, share)
        y, x = np.divmod(random.choice(grid.size, count, replace=False), grid.shape[1])
        inputs.append(_context_inputs(shape, latents, k, y, x))
        values.append(grid[y, x])
        counts.append(np.full(count, grid.size / count))
    forward = _Perceptron(shape.context, weights, np.concatenate(inputs))
    mean, log_scale = forward.outputs.T
    slopes = _laplace_slopes(np.concatenate(values), mean, log_scale)
    back = np.stack(slopes, 1) * np.sqrt(np.concatenate(counts))[:, None]
    jacobian = forward.gradients(back.astype(np.float32))
    fisher: Matrix = _square(jacobian) / np.log(2)
    return fisher


def synthesis_curvature(
    shape: ModelShape,
    parameters: FloatArray,
    latents: Sequence[FloatArray],
    random: np.random.Generator,
) -> Matrix:
    """Curvature of the mean squared error in the weights of the synthesis and the 3x3 layers.

    What a change does to a pixel through the 3x3 layers behind it is taken as if the change were
    the same all around it.

    Args:
        shape: Sizes of the model.
        parameters: The flat vector.
        latents: Quantised, one array a grid, finest first.
        random: Picks the samples.
    """
    height, width = latents[0].shape
    views = shape.views(parameters)
    kernels = [views[f"convolution.{i}.weight"] for i in range(shape.convolutions)]
    biases = [views[f"convolution.{i}.bias"] for i in range(shape.convolutions)]
    identity = np.eye(shape.channels, dtype=np.float32)
    mixing = [identity + kernel.sum((2, 3)) for kernel in kernels]
    weights = _layers(shape, parameters, "synthesis", shape.synthesis)
    rows = []
    for top, left in _crops(height, width, random):
        planes = _upsampled(latents, views, top, left)
        h, w = planes.shape[:2]
        count = min(h * w, _CROP_SAMPLES)
        y, x = np.divmod(random.choice(h * w, count, replace=False), w)
        forward = _Perceptron(shape.synthesis, weights, planes.reshape(h * w, -1))
        plane = forward.outputs.reshape(h, w, -1)
        patches, slopes = [], []
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            windows = _windows(plane)
            patches.append(windows[y, x])
            plane = plane + np.einsum("hwitu,oitu->hwo", windows, kernel) + bias
            slope = np.ones_like(plane)
            if i + 1 < shape.convolutions:
                slope = np.where(plane > 0, np.float32(1), np.float32(LEAK))
                plane = plane * slope
            slopes.append(slope[y, x])
        sampled = forward.at(y * w + x)
        for channel in range(shape.channels):
            back = np.zeros((count, shape.channels), np.float32)
            back[:, channel] = 1
            parts: list[FloatArray] = []
            for i in reversed(range(shape.convolutions)):
                back = back * slopes[i]
                weight = back[:, :, None, None, None] * patches[i][:, None]
                parts = [weight.reshape(count, -1), back, *parts]
                back = back @ mixing[i]
            rows.append(np.concatenate([sampled.gradients(back), *parts], 1))
    jacobian = np.concatenate(rows)
    return _square(jacobian) * (2 / len(jacobian))


def _context_inputs(
    shape: ModelShape,
    latents: Sequence[FloatArray],
    index: int,
    y: npt.NDArray[np.int64],
    x: npt.NDArray[np.int64],
) -> FloatArray:
    """What the context model reads (n, inputs) for latents at (y, x) of grid `index`."""
    places = [(0, dy, dx) for dy, dx in NEIGHBOURS[: shape.neighbours]]
    places += ANCESTORS[: shape.ancestors]
    levels = {level for level, _, _ in places if index + level < len(latents)}
    padded = {level: np.pad(latents[index + level], _REACH) for level in levels}
    columns = [
        padded[level][(y >> level) + dy + _REACH, (x >> level) + dx + _REACH]
        if level in padded
        else np.zeros(len(y), np.float32)
        for level, dy, dx in places
    ]
    return np.stack(columns, 1)


class _Perceptron:
    """Values of a perceptron at inputs (n, i), kept for its gradients."""

    def __init__(
        self,
        shape: PerceptronShape,
        layers: Sequence[tuple[FloatArray, FloatArray]],
        inputs: FloatArray,
    ) -> None:
        self._shape, self._layers = shape, layers
        self._inputs = [inputs]
        for layer, (weight, bias) in enumerate(layers):
            value = self._inputs[-1] @ weight.T + bias
            if shape.is_residual(layer):
                value += self._inputs[-1]
            if layer + 1 < shape.layers:
                value = np.maximum(value, 0)
            self._inputs.append(value)

    @property
    def outputs(self) -> FloatArray:
        values: FloatArray = self._inputs[-1]
        return values

    def at(self, rows: npt.NDArray[np.int64]) -> _Perceptron:
        """The same for some of the inputs."""
        chosen = object.__new__(_Perceptron)
        chosen._shape, chosen._layers = self._shape, self._layers
        chosen._inputs = [values[rows] for values in self._inputs]
        return chosen

    def gradients(self, back: FloatArray) -> FloatArray:
        """Gradient (n, parameters) of each row's sum of outputs times `back` (n, outputs)."""
        parts: list[FloatArray] = []
        for layer in reversed(range(self._shape.layers)):
            weight = back[:, :, None] * self._inputs[layer][:, None, :]
            parts = [weight.reshape(len(back), -1), back, *parts]
            if layer:
                onward = back @ self._layers[layer][0]
                if self._shape.is_residual(layer):
                    onward += back
                back = onward * (self._inputs[layer] > 0)
        return np.concatenate(parts, 1)


def _layers(
    shape: ModelShape, parameters: FloatArray, name: str, perceptron: PerceptronShape
) -> list[tuple[FloatArray, FloatArray]]:
    views = shape.views(parameters)
    return [
        (
            views[f"{name}.{i}.weight"],
            views[f"{name}.{i}.bias"],
        )
        for i in range(perceptron.layers)
    ]


def _square(jacobian: FloatArray) -> Matrix:
    return np.asarray(jacobian.T @ jacobian, np.float64)


def _laplace_slopes(
    value: FloatArray, mean: FloatArray, log_scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Slopes of -ln(mass of the unit bin around `value`) in the mean and the log of the scale."""
    scale = np.exp(np.clip(log_scale, MIN_LOG_SCALE, MAX_LOG_SCALE))
    difference = value - mean
    inner, outer = np.abs(difference) - 0.5, np.abs(difference) + 0.5
    near, far = np.exp(-np.minimum(np.abs(inner) / scale, 60)), np.exp(-outer / scale)
    mass = np.where(inner > 0, (near - far) / 2, 1 - (near + far) / 2)
    factor = 0.5 / scale / np.maximum(mass, 1e-30)
    inside = (log_scale > MIN_LOG_SCALE) & (log_scale < MAX_LOG_SCALE)
    in_mean = -np.sign(difference) * (near - far) * factor
    return in_mean, np.where(inside, (outer * far - inner * near) * factor, 0)


def _crops(height: int, width: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Corners of crops, multiples of 64 so that they are whole on every grid."""
    corners = [(y, x) for y in range(0, height, _CROP_SIZE) for x in range(0, width, _CROP_SIZE)]
    whole = [
        (y, x) for y, x in corners if y + _CROP_SIZE <= height and x + _CROP_SIZE <= width
    ] or corners
    chosen = random.choice(len(whole), min(_CROPS, len(whole)), replace=False)
    return [whole[i] for i in chosen]


def _upsampled(
    latents: Sequence[FloatArray], views: dict[str, FloatArray], top: int, left: int
) -> FloatArray:
    """A crop of all grids (h, w, grids) at the picture's resolution, cut off from around it."""
    bottom, right = top + _CROP_SIZE, left + _CROP_SIZE
    crops = [grid[top >> k : bottom >> k, left >> k : right >> k] for k, grid in enumerate(latents)]
    taps, filters = views["taps"], views["filters"]
    for k, differences in enumerate(filters):
        crops[k] = _filtered(_filtered(crops[k], differences).T, differences).T
    planes = [crops[0]]
    for k in range(1, len(crops)):
        plane = crops[k]
        for level in reversed(range(k)):
            kernel = taps[level]
            height, width = crops[level].shape
            plane = _doubled(_doubled(plane, kernel, height).T, kernel, width).T
        planes.append(plane)
    return np.stack(planes, -1)


def _filtered(plane: FloatArray, differences: FloatArray) -> FloatArray:
    """Each column of `plane` through the symmetric filter."""
    rows = len(plane)
    padded = np.pad(plane, ((3, 3), (0, 0)))
    out = (1 + differences[0]) * plane
    for distance in (1, 2, 3):
        pair = padded[3 - distance : 3 - distance + rows] + padded[3 + distance :][:rows]
        out = out + differences[distance] * pair
    return np.asarray(out, np.float32)


def _doubled(plane: FloatArray, taps: FloatArray, size: int) -> FloatArray:
    """`plane` at twice as many rows, cut to `size`."""
    rows = len(plane)
    padded = np.pad(plane, ((2, 2), (0, 0)), mode="edge")
    far_up, up, here, down, far_down = (padded[i : i + rows] for i in range(5))
    doubled = np.empty((2 * rows, plane.shape[1]), np.float32)
    doubled[0::2] = taps[0] * here + taps[1] * up + taps[2] * down + taps[3] * far_up
    doubled[1::2] = taps[0] * here + taps[1] * down + taps[2] * up + taps[3] * far_down
    return doubled[:size]


def _windows(plane: FloatArray) -> FloatArray:
    """Values (h, w, channels, 3, 3) around each pixel, edges replicated."""
    padded = np.pad(plane, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
