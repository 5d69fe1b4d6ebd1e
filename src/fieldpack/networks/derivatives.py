"""Derivatives of a field by its coordinates, themselves differentiable by the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fieldpack.errors import RequestError
from fieldpack.networks.network import Network, broadcast


def gradients(network: Network, coordinates: Sequence[Tensor]) -> Tensor:
    """Return the gradient of every channel, (..., C, d), by position: units of a value a pixel.

    Args:
        network: Any network; one that sees the nearest position only has no gradient.
        coordinates: One floating tensor an axis, x first, that broadcast together; "..." is the
            shape that they broadcast to.
    """
    points = _leaves(coordinates)
    return torch.stack(_channel_gradients(network, points), dim=-2)


def laplacians(network: Network, coordinates: Sequence[Tensor]) -> Tensor:
    """Return the Laplacian of every channel, (..., C), by position: values a squared pixel.

    Args:
        network: Any network whose gradient depends smoothly on its coordinates: one of sines, not
            of ReLUs, whose second derivatives vanish.
        coordinates: As of `gradients`.

    Raises:
        RequestError: The network has no second derivatives.
    """
    if not network.curved:
        raise RequestError("the second derivatives of this network vanish: it is made of planes")
    points = _leaves(coordinates)
    totals = []
    for gradient in _channel_gradients(network, points):
        second = [
            _derivative(part, [point], positions)[..., 0]
            for part, point, positions in zip(
                gradient.unbind(-1), points, network.positions, strict=True
            )
        ]
        totals.append(torch.stack(second).sum(dim=0))
    return torch.stack(totals, dim=-1)


def _leaves(coordinates: Sequence[Tensor]) -> list[Tensor]:
    # A coordinate that several points share would get the sum of their derivatives.
    return [value.detach().clone().requires_grad_() for value in broadcast(coordinates)]


def _channel_gradients(network: Network, points: list[Tensor]) -> list[Tensor]:
    values = network(*points)
    return [_derivative(channel, points, *network.positions) for channel in values.unbind(-1)]


def _derivative(values: Tensor, points: list[Tensor], *positions: int) -> Tensor:
    parts = torch.autograd.grad(values.sum(), points, create_graph=True)
    scaled = [part * (2 / count) for part, count in zip(parts, positions, strict=True)]
    return torch.stack(scaled, dim=-1).to(values.dtype)
