"""The filling network in PyTorch: the plain counterpart of engine/filling, and what trains it.

A small U-Net (Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
segmentation", 2015) that begins and ends at half resolution, four pixels a position, as in Zhang,
Zuo, Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image denoising", 2018. It
sees a first guess at all pixels and which of them are known, and says what to add to the guess.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fieldpack.filling.guess import ITERATIONS, MOMENTUM, TENSION
from fieldpack.filling.network import WIDTHS


class FillingNetwork(nn.Module):
    """Maps a guess (n, 3, H, W) and a mask (n, 1, H, W) to a better guess; sides divide by 8."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = WIDTHS

        def conv(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, padding=1)

        self.head = conv(16, one)
        self.fine_in = conv(one, one)
        self.down_1 = nn.Conv2d(one, two, 2, stride=2)
        self.middle_in = conv(two, two)
        self.down_2 = nn.Conv2d(two, three, 2, stride=2)
        self.coarse_1 = conv(three, three)
        self.coarse_2 = conv(three, three)
        self.up_2 = nn.ConvTranspose2d(three, two, 2, stride=2)
        self.middle_out = conv(two, two)
        self.up_1 = nn.ConvTranspose2d(two, one, 2, stride=2)
        self.fine_out_1 = conv(one, one)
        self.fine_out_2 = conv(one, one)
        self.tail = conv(one, 12)
        nn.init.zeros_(self.tail.weight)
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)

    def forward(self, guess: Tensor, mask: Tensor) -> Tensor:
        relu = functional.relu
        x = functional.pixel_unshuffle(torch.cat((guess - 0.5, mask - 0.5), 1), 2)
        fine = relu(self.fine_in(relu(self.head(x))))
        middle = relu(self.middle_in(relu(self.down_1(fine))))
        coarse = relu(self.coarse_2(relu(self.coarse_1(relu(self.down_2(middle))))))
        middle = relu(self.middle_out(relu(self.up_2(coarse) + middle)))
        fine = relu(self.up_1(middle) + fine)
        fine = relu(self.fine_out_2(relu(self.fine_out_1(fine))))
        return guess + functional.pixel_shuffle(self.tail(fine), 2)


def thin_plate(image: Tensor, mask: Tensor) -> Tensor:
    """The first guess of fieldpack.filling.guess.thin_plate, for images (n, 3, H, W)."""
    n, channels, height, width = image.shape
    guess = pull_push(image, mask).reshape(n * channels, 1, height, width)
    missing = 1 - mask.repeat_interleave(channels, 1).reshape_as(guess)
    kernel = guess.new_tensor([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]])

    def laplacian(x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel)

    step = missing / (64 + 8 * TENSION)
    ahead = guess
    for _ in range(ITERATIONS):
        curvature = laplacian(ahead)
        moved = ahead - step * (laplacian(curvature) - TENSION * curvature)
        ahead = moved + MOMENTUM * (moved - guess)
        guess = moved
    return guess.reshape(image.shape)


def pull_push(image: Tensor, mask: Tensor) -> Tensor:
    """The first guess of fieldpack.filling.guess.pull_push, for images (n, 3, H, W)."""
    values, weights = [image * mask], [mask]
    while min(values[-1].shape[2:]) > 1:
        pooled = functional.avg_pool2d(values[-1], 2, ceil_mode=True, count_include_pad=False)
        weight = functional.avg_pool2d(weights[-1], 2, ceil_mode=True, count_include_pad=False)
        inverse = torch.where(weight > 0, 1 / weight.clamp_min(1e-12), 0)
        # A cell with any known pixel is known as well as one that is full.
        values.append(pooled * inverse)
        weights.append((weight > 0).to(weight.dtype))
    known = values[-1].sum((2, 3), keepdim=True) / weights[-1].sum((2, 3), keepdim=True)
    guess = torch.where(weights[-1] > 0, values[-1], known)
    for value, weight in zip(values[-2::-1], weights[-2::-1], strict=True):
        finer = functional.interpolate(guess, scale_factor=2, mode="bilinear", align_corners=False)
        finer = finer[:, :, : value.shape[2], : value.shape[3]]
        guess = torch.where(weight > 0, value, finer)
    return guess
