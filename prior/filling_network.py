"""The filling network in PyTorch: the plain counterpart of engine/filling, and what trains it.

A small U-Net (Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
segmentation", 2015) of residual blocks (He, Zhang, Ren, Sun, "Deep residual learning for image
recognition", 2016). It begins and ends at half resolution, four pixels a position, as in Zhang,
Zuo, Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image denoising", 2018. It
sees a first guess at all pixels and which of them are known, and says what to add to the guess.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from fieldpack.filling.network import LEAK, WIDTHS

_OF_BLOCKS = 0.3  # scale of the weights that a block ends with, at first


class Block(nn.Module):
    """Two convolutions and a shortcut around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return _relu(self.second(_relu(self.first(x))) + x)


class FillingNetwork(nn.Module):
    """Maps a guess (n, 1, H, W) and a mask (n, 1, H, W) to a better guess; sides divide by 16.

    Args:
        widths: Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(8, widths[0], 3, padding=1)
        self.going_down = nn.ModuleList(Block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps)
        self.going_up = nn.ModuleList(Block(width) for width in widths[:-1])
        self.tail = nn.Conv2d(widths[0], 4, 3, padding=1)
        # The first guess is a good one: begin near it.
        for layer in self.modules():
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                continue
            assert layer.bias is not None
            inputs = layer.in_channels
            if isinstance(layer, nn.Conv2d):
                inputs *= layer.kernel_size[0] ** 2
            scale = 0.02 if layer is self.tail else 1.0
            nn.init.normal_(layer.weight, std=scale * (2 / inputs) ** 0.5)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for block in self.modules():
                if isinstance(block, Block):
                    block.second.weight *= _OF_BLOCKS
            # What matters are small differences of neighbours, not how bright it is.
            of_guess = self.head.weight[:, :4]
            of_guess -= of_guess.mean((1, 2, 3), keepdim=True)
            of_guess *= 4

    def layers(self) -> list[nn.Conv2d | nn.ConvTranspose2d]:
        """In the order in which they are applied, which is that of the network's file."""
        order: list[nn.Module] = [self.head]
        for level, block in enumerate(self.going_down):
            if level:
                order.append(self.down[level - 1])
            order += block.children()
        for level in reversed(range(len(self.up))):
            order += [self.up[level], *self.going_up[level].children()]
        order.append(self.tail)
        return [m for m in order if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]

    def flat_parameters(self) -> Tensor:
        """Weights and bias of each of `layers`, in order, as one vector."""
        return torch.cat([p.detach().flatten() for m in self.layers() for p in m.parameters()])

    def forward(self, guess: Tensor, mask: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(torch.cat((guess - 0.5, mask - 0.5), 1), 2)
        x = _relu(self.head(x))
        seen = []
        for level, block in enumerate(self.going_down):
            if level:
                x = _relu(self.down[level - 1](x))
            x = block(x)
            seen.append(x)
        for level in reversed(range(len(self.up))):
            x = self.going_up[level](_relu(self.up[level](x) + seen[level]))
        return guess + functional.pixel_shuffle(self.tail(x), 2)


def _relu(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAK)
