"""The pyramid model for many pictures of one size at once, for training on a GPU.

The same computation as reference.py, which serves the tests in float64; here contexts are masked
convolutions, and probabilities logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fieldpack.codec.model import ANCESTORS, LEAK, NEIGHBOURS, ModelShape
from prior.reference import BoundedScale, soft_round, split

_UP, _SIDE = 3, 4  # how far neighbours reach


def quantise(x: Tensor, temperature: Tensor, noise: Tensor) -> Tensor:
    """Soft rounding, uniform noise of half width `noise`, soft rounding."""
    u = (2 * torch.rand_like(x) - 1) * noise
    return soft_round(soft_round(x, temperature) + u, temperature)


def bits(value: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of each value: -log2 of the Laplace mass on the unit bin around it."""
    inverse = torch.exp(-BoundedScale.apply(log_scale))  # type: ignore[no-untyped-call]
    a = (value - mean).abs()
    outside = (0.5 - a) * inverse + torch.log(-0.5 * torch.expm1(-inverse))
    near = torch.exp(-(0.5 - a).abs() * inverse) + torch.exp(-(a + 0.5) * inverse)
    # Where the other branch is taken, its argument must be harmless.
    inside = torch.log1p(-0.5 * torch.where(a > 0.5, torch.zeros_like(a), near))
    return torch.where(a > 0.5, outside, inside) * (-1 / np.log(2))


def neighbour_matrix(shape: ModelShape, device: torch.device) -> Tensor:
    """[neighbours, (_UP + 1) * (2 * _SIDE + 1)]: where in a masked kernel each neighbour is."""
    out = torch.zeros(shape.neighbours, _UP + 1, 2 * _SIDE + 1, device=device)
    for i, (dy, dx) in enumerate(NEIGHBOURS[: shape.neighbours]):
        out[i, _UP + dy, _SIDE + dx] = 1
    return out.flatten(1)


def rate(
    grids: Sequence[Tensor], shape: ModelShape, tensors: dict[str, Tensor], where: Tensor
) -> Tensor:
    """Bits [B] of quantised latents, each [B, 1, h_k, w_k]; `where` is `neighbour_matrix`."""
    total = grids[0].new_zeros(len(grids[0]))
    for k, grid in enumerate(grids):
        name = f"context{shape.set_of_grid[k]}"
        x = functional.pad(grid, (_SIDE, _SIDE, _UP, 0))
        for layer in range(shape.context.layers):
            weight, bias = tensors[f"{name}.{layer}.weight"], tensors[f"{name}.{layer}.bias"]
            if layer == 0:
                own, others = weight.split((shape.neighbours, shape.ancestors), 1)
                kernel = (own @ where).reshape(-1, 1, _UP + 1, 2 * _SIDE + 1)
                y = functional.conv2d(x, kernel, bias)
                if shape.ancestors:
                    y = y + functional.conv2d(ancestors(grids, k, shape), others[:, :, None, None])
            else:
                y = functional.conv2d(x, weight[:, :, None, None], bias)
            if shape.context.is_residual(layer):
                y = y + x
            x = y if layer == shape.context.layers - 1 else torch.relu(y)
        total = total + bits(grid, x[:, :1], x[:, 1:]).sum((1, 2, 3))
    return total


def ancestors(grids: Sequence[Tensor], index: int, shape: ModelShape) -> Tensor:
    """Latents of coarser grids [B, ancestors, h, w] for each latent of grid `index`."""
    height, width = grids[index].shape[2:]
    planes = []
    for level, dy, dx in ANCESTORS[: shape.ancestors]:
        if index + level >= len(grids):
            planes.append(torch.zeros_like(grids[index]))
            continue
        coarser = functional.pad(grids[index + level], (1, 1, 1, 1))
        y = (torch.arange(height, device=coarser.device) >> level) + dy + 1
        x = (torch.arange(width, device=coarser.device) >> level) + dx + 1
        planes.append(coarser[:, :, y][:, :, :, x])
    return torch.cat(planes, 1)


def filtered(x: Tensor, differences: Tensor) -> Tensor:
    """Planes [B, 1, h, w] through the separable symmetric filter; zeros around them."""
    near = torch.cat((1 + differences[:1], differences[1:]))
    kernel = torch.cat((near[1:].flip(0), near))
    x = functional.conv2d(x, kernel.reshape(1, 1, 7, 1), padding=(3, 0))
    return functional.conv2d(x, kernel.reshape(1, 1, 1, 7), padding=(0, 3))


def upsample(x: Tensor, taps: Tensor, height: int, width: int) -> Tensor:
    """Doubles planes [B, n, h, w] by the symmetric 8-tap kernel and crops to height x width."""
    even = torch.stack((taps[3], taps[1], taps[0], taps[2], torch.zeros_like(taps[0])))
    kernel = torch.stack((even, even.flip(0)))
    b, n, h, w = x.shape
    x = functional.pad(x.reshape(b * n, 1, h, w), (2, 2, 2, 2), mode="replicate")
    x = functional.conv2d(x, kernel[:, None, :, None])  # [bn, 2, h, w + 4]
    x = x.transpose(1, 2).reshape(b * n, 1, 2 * h, w + 4)
    x = functional.conv2d(x, kernel[:, None, None, :])  # [bn, 2, 2h, w]
    return x.permute(0, 2, 3, 1).reshape(b, n, 2 * h, 2 * w)[:, :, :height, :width]


def synthesise(grids: Sequence[Tensor], shape: ModelShape, tensors: dict[str, Tensor]) -> Tensor:
    """From quantised latents, each [B, 1, h_k, w_k], to images [B, C, H, W]."""
    planes = grids[-1]
    for stage in range(shape.grids - 2, -1, -1):
        own = grids[stage]
        if shape.is_filtered:
            own = filtered(own, tensors["filters"][stage])
        planes = upsample(planes, tensors["taps"][stage], own.shape[2], own.shape[3])
        planes = torch.cat((own, planes), 1)
    x = planes
    for layer in range(shape.synthesis.layers):
        weight = tensors[f"synthesis.{layer}.weight"][:, :, None, None]
        y = functional.conv2d(x, weight, tensors[f"synthesis.{layer}.bias"])
        if shape.synthesis.is_residual(layer):
            y = y + x
        x = y if layer == shape.synthesis.layers - 1 else torch.relu(y)
    for layer in range(shape.convolutions):
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        weight, bias = tensors[f"convolution.{layer}.weight"], tensors[f"convolution.{layer}.bias"]
        y = x + functional.conv2d(padded, weight, bias)
        x = y if layer == shape.convolutions - 1 else functional.leaky_relu(y, LEAK)
    return x


def losses(
    grids: Sequence[Tensor],
    images: Tensor,
    flat: Tensor,
    shape: ModelShape,
    where: Tensor,
    lambda_: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, distortion and bits a pixel [B] of quantised latents against images [B, C, H, W]."""
    tensors = split(flat, shape)
    distortion = ((synthesise(grids, shape, tensors) - images) ** 2).mean((1, 2, 3))
    bpp = rate(grids, shape, tensors, where) / (images.shape[2] * images.shape[3])
    return distortion + lambda_ * bpp, distortion, bpp
