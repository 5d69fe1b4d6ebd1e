"""What a network is trained to match: values, gradients, or Laplacians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from fieldpack.networks.derivatives import gradients, laplacians
from fieldpack.networks.network import Network
from fieldpack.networks.samples import Batch


@dataclass(frozen=True)
class Objective:
    """A loss to minimise.

    Attributes:
        name: For messages.
        loss: Mean squared error of a network on a batch.
        target_channels: Channels of a target, for a network.
    """

    name: str
    loss: Callable[[Network, Batch], Tensor]
    target_channels: Callable[[Network], int]


def _value_loss(network: Network, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(network(*batch.coordinates), batch.values)


def _gradient_loss(network: Network, batch: Batch) -> Tensor:
    found = gradients(network, batch.coordinates).flatten(-2)
    return nn.functional.mse_loss(found, batch.values)


def _laplacian_loss(network: Network, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(laplacians(network, batch.coordinates), batch.values)


VALUES = Objective("values", _value_loss, lambda network: network.channels)
"""Targets are the field's values."""

GRADIENTS = Objective("gradients", _gradient_loss, lambda network: network.channels * network.axes)
"""Targets are the derivatives by position along each axis, x first, of channel 0, then 1, ...

The field is learned up to a constant a channel (Sitzmann et al. 2020, section 4.1, "Poisson").
"""

LAPLACIANS = Objective("Laplacians", _laplacian_loss, lambda network: network.channels)
"""Targets are the sums of the second derivatives by position of each channel.

The field is learned up to a harmonic function.
"""
