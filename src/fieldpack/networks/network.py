"""What every coordinate network has in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fieldpack.program import Program


class Network(nn.Module):
    """A field given by weights alone: coordinates in [-1, 1]^d to values in `channels` channels.

    Attributes:
        positions: Positions (pixels) on each axis, x first; the coordinate of position p of n is
            (2p + 1) / n - 1.
        channels: Channels C of a value.
        curved: Whether second derivatives by the coordinates do not vanish.
    """

    curved = True

    def __init__(self, positions: tuple[int, ...], channels: int) -> None:
        """Keep the sizes."""
        super().__init__()
        self.positions = positions
        self.channels = channels

    @property
    def axes(self) -> int:
        """Number of coordinates d."""
        return len(self.positions)

    @property
    def parameter_count(self) -> int:
        """Number of trained weights."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad)

    def forward(self, *coordinates: Tensor) -> Tensor:
        """Evaluate the field.

        Args:
            *coordinates: One floating tensor for each axis, x first. They broadcast together:
                d tensors (N,) are N scattered points; (1, W) and (H, 1) are a grid of H x W
                points, of which everything that depends on one axis alone is computed only once.

        Returns:
            Values, float32, of the broadcast shape with the channels last, e.g. (N, C).
        """
        raise NotImplementedError

    def export(self) -> Program:
        """Return the evaluated (not the training) network as a program for files."""
        raise NotImplementedError


def broadcast(coordinates: Sequence[Tensor]) -> list[Tensor]:
    """Expand coordinates, without copying them, to the shape that they broadcast to."""
    shape = np.broadcast_shapes(*(tuple(value.shape) for value in coordinates))
    return [value.expand(shape) for value in coordinates]


def weight_array(tensor: Tensor | nn.Module | None) -> NDArray[np.float64]:
    """Return weights as an array for a program."""
    assert isinstance(tensor, Tensor)
    return tensor.detach().cpu().double().numpy()


def axis_coordinates(positions: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the coordinates (positions,) of all pixel centres of an axis, float64."""
    centres = torch.arange(positions, dtype=torch.float64, device=device)
    return (2 * centres + 1) / positions - 1


def grid_coordinates(lines: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Shape one coordinate tensor (n_i,) an axis, x first, so that they broadcast to a grid.

    Axis i of d becomes axis d-1-i of the grid, as in a picture (H, W) with x along the columns.
    """
    return tuple(line.reshape(-1, *(1 for _ in range(axis))) for axis, line in enumerate(lines))


@torch.no_grad()
def render(network: Network, points: int = 1 << 15) -> NDArray[np.float32]:
    """Evaluate a network at all its positions, in bands of about `points` points.

    Returns:
        Values (..., H, W, C), float32; the network is in evaluation mode meanwhile.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    lines = [axis_coordinates(count, device) for count in network.positions]
    across = int(np.prod(network.positions[:-1]))
    bands = [
        network(*grid_coordinates((*lines[:-1], band))).cpu().numpy()
        for band in torch.split(lines[-1], max(1, points // across))
    ]
    network.train(training)
    shape = (*network.positions[::-1], network.channels)
    return np.concatenate(bands).reshape(shape)
