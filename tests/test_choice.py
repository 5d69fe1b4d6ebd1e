"""Flat starts, and which of a prior's networks a picture gets."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import smooth_samples

from fieldpack.codec.choice import best_networks, is_flat_better, mosaic
from fieldpack.codec.fit import make_trainer, worth_moving
from fieldpack.codec.initialisation import (
    analyse,
    axis_of_grids,
    colour_axes,
    first_gains,
    initial_parameters,
)
from fieldpack.codec.model import ModelShape, grids_of
from fieldpack.codec.prior import SHIPPED, load_prior, nearest_networks


def image(height=60, width=90, channels=3):
    return smooth_samples(height, width, channels).astype(np.float32) / 255


def grain(height=60, width=90):
    random = np.random.default_rng(0)
    return random.random((height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("is_flat", [False, True])
def test_every_axis_of_colour_has_a_grid(channels, is_flat):
    axes = axis_of_grids(ModelShape(channels, 7), is_flat=is_flat)
    assert len(axes) == 7
    assert {axis for axis in axes if axis is not None} == set(range(channels))
    assert axes.count(0) == 1 or not is_flat


@pytest.mark.parametrize("is_flat", [False, True])
def test_linear_networks_draw_the_picture_from_its_latents(is_flat):
    picture = image()
    shape = ModelShape(3, grids_of(60, 90), (40,))
    trainer = make_trainer(shape, picture)
    for k, grid in enumerate(analyse(picture, shape, 1e-6, threshold=0, is_flat=is_flat)):
        trainer.set_latents(k, grid)
    parameters = initial_parameters(shape, 1e-6, is_flat=is_flat)
    assert trainer.distortion(parameters) < 1e-3


def test_flat_latents_are_the_luminance_in_quantisation_steps():
    picture = image()
    shape = ModelShape(3, 6)
    latents = analyse(picture, shape, 0.001, is_flat=True)
    luminance = (picture - 0.5) @ colour_axes(3)[0] / first_gains(shape, 0.001)[0]
    np.testing.assert_allclose(latents[0], luminance, atol=1e-4)
    assert [grid.shape for grid in latents] == [(-(-60 >> k), -(-90 >> k)) for k in range(6)]
    assert not latents[3].any()


def test_a_mosaic_has_blocks_from_all_over_the_picture():
    picture = np.zeros((600, 1000, 1), np.float32)
    picture[:, :, 0] = np.arange(600)[:, None] * 1000 + np.arange(1000)
    part = mosaic(picture)
    assert part.shape == (256, 384, 1)
    assert part[0, 0] == 0
    assert part[-1, -1] == picture[-1, -1]
    np.testing.assert_array_equal(part[:128, 128:256], picture[:128, 436:564])
    assert mosaic(image()).shape == (60, 90, 3)


def test_pyramids_come_first_and_flat_ones_only_where_bits_are_cheap():
    assert [s.is_flat for s in nearest_networks(0.0002, 3)] == [False, True]
    assert [s.is_flat for s in nearest_networks(0.015, 3)] == [False]
    assert nearest_networks(0.0002, 4) == []


def test_sets_with_and_without_the_finest_grid_overlap():
    for lambda_, finest in (
        (1e-4, {0}),
        (1e-3, {0}),
        (0.0021, {0, 1}),
        (0.008, {0, 1}),
        (0.02, {1}),
    ):
        assert {s.finest for s in nearest_networks(lambda_, 3)} == finest
    assert [s.lambda_ for s in nearest_networks(0.0018, 3)] == pytest.approx([0.001, 0.001, 0.004])
    assert [s.finest for s in nearest_networks(0.004, 3)] == [0, 1]


def test_pictures_that_need_many_bits_have_the_finest_grid():
    candidates = nearest_networks(0.004, 3)
    assert best_networks(image(), candidates, 0.004, 30).finest == 1
    assert best_networks(grain(), candidates, 0.004, 30).finest == 0


def test_the_networks_with_less_loss_are_taken():
    networks = load_prior(SHIPPED)[0]
    spoilt = replace(networks, parameters=networks.parameters * np.float32(0.5))
    for candidates in ((networks, spoilt), (spoilt, networks)):
        assert best_networks(image(), candidates, 0.0001, 30) is networks
    assert best_networks(image(), (spoilt,), 0.0001, 30) is spoilt


def test_the_choice_follows_the_picture_and_the_weights_not_the_threads():
    candidates = nearest_networks(0.001, 3)
    assert not best_networks(image(), candidates, 0.001, 30).is_flat
    assert best_networks(grain(), candidates, 0.001, 30).is_flat
    both = np.concatenate([image(), grain()], axis=1)
    for threads in (1, 2, 3):
        for is_flat in (False, True):
            weights = np.zeros_like(both)
            weights[:, 90:] = is_flat
            weights[:, :90] = not is_flat
            chosen = best_networks(both, candidates, 0.001, 30, weights, threads)
            assert chosen.is_flat == is_flat


def test_weights_that_leave_out_all_blocks_still_count():
    picture = image(400, 600)
    weights = np.zeros_like(picture)
    weights[190:210, 200:230] = 1
    networks = load_prior(SHIPPED)[0]
    spoilt = replace(networks, parameters=networks.parameters * np.float32(0.5))
    assert best_networks(picture, (spoilt, networks), 0.0001, 4, weights) is networks


def test_from_scratch_the_start_follows_the_picture():
    shape = ModelShape(3, 7, (16,), 2, 12, (12, 12))
    for picture, is_flat in ((image(), False), (grain(), True)):
        chosen = [is_flat_better(picture, shape, 0.001, 300, threads=n) for n in (1, 2)]
        assert chosen == [is_flat] * 2


def test_context_models_move_where_their_grids_have_the_bits():
    shape = ModelShape(3, 3, (8,), 1, 8, (8,), (0, 1, 1))
    bits = 10.0 * shape.context.parameters
    assert worth_moving(shape, [bits, bits, 0.4 * bits], 10) == {0, 1}
    assert worth_moving(shape, [bits, bits, 0.4 * bits], 12) == {1}
    assert worth_moving(shape, [bits, 0.0, 0.0], 11) == set()
