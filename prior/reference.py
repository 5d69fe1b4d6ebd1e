"""The pyramid codec's model in PyTorch: the plain counterpart of the engine's training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fieldpack.codec.model import (
    ANCESTORS,
    LEAK,
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    NEIGHBOURS,
    ModelShape,
    PerceptronShape,
)


class BoundedScale(torch.autograd.Function):
    """A clamp whose gradient passes where it leads back inside the bounds."""

    @staticmethod
    def forward(ctx: Any, log_scale: Tensor) -> Tensor:
        ctx.save_for_backward(log_scale)
        return log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (log_scale,) = ctx.saved_tensors
        (g,) = gradients
        stuck = ((log_scale < MIN_LOG_SCALE) & (g > 0)) | ((log_scale > MAX_LOG_SCALE) & (g < 0))
        return torch.where(stuck, torch.zeros_like(g), g)


def soft_round(x: Tensor, temperature: Tensor | float) -> Tensor:
    """Soft rounding of Agustsson and Theis (2020): the identity as the temperature grows."""
    middle = torch.floor(x) + 0.5
    gain = torch.tanh(torch.as_tensor(0.5 / temperature, dtype=x.dtype, device=x.device))
    return middle + torch.tanh((x - middle) / temperature) / (2 * gain)


def upsample(x: Tensor, taps: Tensor, height: int, width: int) -> Tensor:
    """Doubles planes [n, h, w] by the symmetric 8-tap kernel and crops to height x width."""
    near = taps
    even = torch.stack((near[3], near[1], near[0], near[2], near.new_zeros(())))
    odd = even.flip(0)

    def rows(v: Tensor) -> Tensor:
        n, h, w = v.shape
        padded = functional.pad(v[:, None], (0, 0, 2, 2), mode="replicate")
        both = [functional.conv2d(padded, k.reshape(1, 1, 5, 1)) for k in (even, odd)]
        return torch.stack([b[:, 0] for b in both], dim=2).reshape(n, 2 * h, w)

    tall = rows(x)[:, :height]
    return rows(tall.transpose(1, 2)).transpose(1, 2)[:, :, :width]


def filtered(x: Tensor, differences: Tensor) -> Tensor:
    """A plane [h, w] through the separable symmetric filter; zeros around it."""
    near = torch.cat((1 + differences[:1], differences[1:]))
    kernel = torch.cat((near[1:].flip(0), near))
    x = functional.conv2d(x[None, None], kernel.reshape(1, 1, 7, 1), padding=(3, 0))
    return functional.conv2d(x, kernel.reshape(1, 1, 1, 7), padding=(0, 3))[0, 0]


def perceptron(x: Tensor, shape: PerceptronShape, tensors: dict[str, Tensor], name: str) -> Tensor:
    """Applies the dense layers to values [..., inputs]."""
    for layer in range(shape.layers):
        y = functional.linear(x, tensors[f"{name}.{layer}.weight"], tensors[f"{name}.{layer}.bias"])
        if shape.is_residual(layer):
            y = y + x
        x = y if layer == shape.layers - 1 else torch.relu(y)
    return x


def laplace_bits(value: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of each value: -log2 of the Laplace mass on the unit bin around it."""
    inverse = torch.exp(-BoundedScale.apply(log_scale))  # type: ignore[no-untyped-call]
    a = (value - mean).abs()
    e1 = torch.exp(-(a - 0.5).abs() * inverse)
    e2 = torch.exp(-(a + 0.5) * inverse)
    mass = torch.where(a > 0.5, 0.5 * (e1 - e2), 1 - 0.5 * (e1 + e2))
    return -torch.log2(mass)


def split(flat: Tensor, shape: ModelShape) -> dict[str, Tensor]:
    """The flat parameters as named tensors."""
    out, start = {}, 0
    for name, size in shape.offsets:
        count = int(torch.Size(size).numel())
        out[name] = flat[start : start + count].reshape(size)
        start += count
    return out


def synthesise(grids: Sequence[Tensor], shape: ModelShape, tensors: dict[str, Tensor]) -> Tensor:
    """From quantised latents, each [h_k, w_k], to the image [C, H, W]."""
    planes = grids[-1][None]
    for stage in range(shape.grids - 2, -1, -1):
        own = grids[stage]
        if shape.is_filtered:
            own = filtered(own, tensors["filters"][stage])
        planes = upsample(planes, tensors["taps"][stage], *own.shape)
        planes = torch.cat((own[None], planes))
    x = perceptron(planes.permute(1, 2, 0), shape.synthesis, tensors, "synthesis").permute(2, 0, 1)
    for layer in range(shape.convolutions):
        padded = functional.pad(x[None], (1, 1, 1, 1), mode="replicate")
        y = (
            x
            + functional.conv2d(
                padded,
                tensors[f"convolution.{layer}.weight"],
                tensors[f"convolution.{layer}.bias"],
            )[0]
        )
        x = y if layer == shape.convolutions - 1 else functional.leaky_relu(y, LEAK)
    return x


def rate(grids: Sequence[Tensor], shape: ModelShape, tensors: dict[str, Tensor]) -> list[Tensor]:
    """Bits of each grid under the context model; latents outside a grid count as zero."""
    out = []
    for k, grid in enumerate(grids):
        h, w = grid.shape
        padded = functional.pad(grid, (8, 8, 8, 8))
        inputs = [
            padded[8 + dy : 8 + dy + h, 8 + dx : 8 + dx + w]
            for dy, dx in NEIGHBOURS[: shape.neighbours]
        ]
        for level, dy, dx in ANCESTORS[: shape.ancestors]:
            if k + level >= len(grids):
                inputs.append(torch.zeros_like(grid))
                continue
            coarser = functional.pad(grids[k + level], (8, 8, 8, 8))
            y, x = torch.arange(h) >> level, torch.arange(w) >> level
            inputs.append(coarser[8 + dy + y][:, 8 + dx + x])
        output = perceptron(
            torch.stack(inputs, -1), shape.context, tensors, f"context{shape.set_of_grid[k]}"
        )
        out.append(laplace_bits(grid, output[..., 0], output[..., 1]).sum())
    return out


def loss(
    grids: Sequence[Tensor],
    image: Tensor,
    weights: Tensor | None,
    flat: Tensor,
    shape: ModelShape,
    *,
    lambda_: float,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Loss, distortion and bits by grid of quantised latents against an image [C, H, W]."""
    tensors = split(flat, shape)
    error = (synthesise(grids, shape, tensors) - image) ** 2
    distortion = error.mean() if weights is None else (weights * error).sum() / weights.sum()
    bits = rate(grids, shape, tensors)
    pixels = image.shape[1] * image.shape[2]
    return distortion + lambda_ * torch.stack(bits).sum() / pixels, distortion, bits
