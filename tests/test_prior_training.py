"""The programs that train the prior compute what the engine and the reference compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldpack.codec.initialisation import analyse, colour_axes, first_gains
from fieldpack.codec.model import ModelShape
from prior import batched, reference
from prior.analysis import THRESHOLD, Analysis, linear_analysis
from prior.train import coarser

SHAPE = ModelShape(3, 4, (8,), 2, 16, (8, 8), (0, 1, 2, 3), ancestors=7, is_filtered=True)
LAMBDA = 0.002


def images(height: int = 37, width: int = 50) -> torch.Tensor:
    noise = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2)


def proposals(pictures: torch.Tensor) -> list[torch.Tensor]:
    axes = torch.tensor(colour_axes(3), dtype=torch.float32)
    gains = torch.tensor(first_gains(SHAPE, LAMBDA), dtype=torch.float32)
    return linear_analysis(pictures, SHAPE, axes, gains)


def test_linear_analysis_is_the_encoders():
    pictures = images()
    latents = proposals(pictures)
    for i, picture in enumerate(pictures):
        expected = analyse(picture.permute(1, 2, 0).numpy(), SHAPE, LAMBDA, threshold=0)
        for ours, theirs in zip(latents, expected, strict=True):
            np.testing.assert_allclose(ours[i, 0].numpy(), theirs, atol=1e-4)


def test_coarser_networks_draw_a_larger_picture_in_the_same_way():
    random = np.random.default_rng(1)
    parameters = random.normal(0, 0.3, SHAPE.parameters).astype(np.float32)
    moved = SHAPE.views(coarser(parameters, SHAPE, 1))
    known = SHAPE.views(parameters)
    latents = random.normal(0, 1, SHAPE.grids - 1).astype(np.float32)
    np.testing.assert_array_equal(
        moved["synthesis.0.weight"][:, 1:] @ latents, known["synthesis.0.weight"][:, :-1] @ latents
    )
    for level in range(1, SHAPE.grids):
        for layer in range(3):
            np.testing.assert_array_equal(
                moved[f"context{level}.{layer}.weight"], known[f"context{level - 1}.{layer}.weight"]
            )
    np.testing.assert_array_equal(coarser(parameters, SHAPE, 0), parameters)


def test_losses_are_those_of_the_reference():
    pictures = images()
    random = np.random.default_rng(0)
    parameters = random.normal(0, 0.25, SHAPE.parameters).astype(np.float32)
    flat = torch.tensor(parameters)
    grids = [torch.round(3 * latents) for latents in proposals(pictures)]
    where = batched.neighbour_matrix(SHAPE, flat.device)
    loss, distortion, bpp = batched.losses(grids, pictures, flat, SHAPE, where, LAMBDA)
    for i, picture in enumerate(pictures):
        own = [grid[i, 0].double() for grid in grids]
        expected = reference.loss(own, picture.double(), None, flat.double(), SHAPE, lambda_=LAMBDA)
        assert float(loss[i]) == pytest.approx(float(expected[0]), rel=1e-4)
        assert float(distortion[i]) == pytest.approx(float(expected[1]), rel=1e-4)
        total = float(sum(expected[2])) / (picture.shape[1] * picture.shape[2])
        assert float(bpp[i]) == pytest.approx(total, rel=1e-4)


def test_the_analysis_network_begins_as_the_linear_one():
    pictures = images()
    linear = proposals(pictures)
    shape = ModelShape(3, 4)
    between = torch.zeros(7)
    between[3] = 1
    latents, quantised = Analysis(shape)(pictures, linear, between, torch.round)
    for k, (ours, start) in enumerate(zip(latents, linear, strict=True)):
        expected = torch.nn.functional.softshrink(start, THRESHOLD) if k < 3 else start
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(quantised[k], torch.round(expected))
