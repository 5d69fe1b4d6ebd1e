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

from fieldpack.filling.network import LEAK, WIDTHS


class FillingNetwork(nn.Module):
    """Maps a guess (n, 1, H, W) and a mask (n, 1, H, W) to a better guess; sides divide by 8."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = WIDTHS

        def conv(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, padding=1)

        self.head = conv(8, one)
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
        self.tail = conv(one, 4)
        # The first guess is a good one: begin near it.
        for layer in self.children():
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            assert layer.bias is not None
            inputs = layer.in_channels
            if isinstance(layer, nn.Conv2d):
                inputs *= layer.kernel_size[0] ** 2
            scale = 0.02 if layer is self.tail else 1.0
            nn.init.normal_(layer.weight, std=scale * (2 / inputs) ** 0.5)
            nn.init.zeros_(layer.bias)
        # What matters are small differences of neighbours, not how bright it is.
        with torch.no_grad():
            of_guess = self.head.weight[:, :4]
            of_guess -= of_guess.mean((1, 2, 3), keepdim=True)
            of_guess *= 4

    def forward(self, guess: Tensor, mask: Tensor) -> Tensor:
        def relu(x: Tensor) -> Tensor:
            return functional.leaky_relu(x, LEAK)

        x = functional.pixel_unshuffle(torch.cat((guess - 0.5, mask - 0.5), 1), 2)
        fine = relu(self.fine_in(relu(self.head(x))))
        middle = relu(self.middle_in(relu(self.down_1(fine))))
        coarse = relu(self.coarse_2(relu(self.coarse_1(relu(self.down_2(middle))))))
        middle = relu(self.middle_out(relu(self.up_2(coarse) + middle)))
        fine = relu(self.up_1(middle) + fine)
        fine = relu(self.fine_out_2(relu(self.fine_out_1(fine))))
        return guess + functional.pixel_shuffle(self.tail(fine), 2)
