"""Flat starts, and which of a prior's networks a picture gets."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import smooth_samples

from fieldpack.codec.choice import best_networks, is_flat_better
from fieldpack.codec.fit import fit, make_trainer, worth_moving
from fieldpack.codec.initialisation import (
    analyse,
    axis_of_grids,
    colour_axes,
    first_gains,
    initial_parameters,
)
from fieldpack.codec.model import ModelShape, grids_of
from fieldpack.codec.prior import FEW_PIXELS, SHIPPED, load_prior, nearest_networks
from fieldpack.codec.schedule import Schedule, schedule_for
from fieldpack.codec.start import start_for
from fieldpack.codec.trial import Trials, mosaic


def image(height=60, width=90, channels=3):
    return smooth_samples(height, width, channels).astype(np.float32) / 255


def best(picture, candidates, lambda_, passes=30, weights=None, threads=1, bits=None):
    return best_networks(Trials(picture, weights, threads), candidates, lambda_, passes, bits)


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


def test_a_mosaic_has_blocks_from_all_over_the_picture_and_seams_do_not_count():
    picture = np.zeros((600, 1000, 1), np.float32)
    picture[:, :, 0] = np.arange(600)[:, None] * 1000 + np.arange(1000)
    part, counts = mosaic(picture)
    assert part.shape == counts.shape == (256, 384, 1)
    assert part[0, 0] == 0
    assert part[-1, -1] == picture[-1, -1]
    np.testing.assert_array_equal(part[64:128, 320:], picture[179:243, 936:])
    assert counts[0, 0] == counts[-1, -1] == 1
    assert (counts[[61, 66, 189]] == 0).all()
    assert (counts[:, [61, 66, 322]] == 0).all()
    assert 0.8 < counts.mean() < 0.9
    for whole in (image(), image(256, 384)):
        part, counts = mosaic(whole)
        np.testing.assert_array_equal(part, whole)
        assert counts.all()


def test_trials_of_a_mosaic_tell_what_fits_of_the_picture_come_to():
    picture = np.tile(image(64, 64), (5, 8, 1))  # the blocks overlap those of the mosaic
    networks = nearest_networks(0.001, 3)[0]
    trial = Trials(picture).of_networks(networks, 0.001, 40)
    fitted = fit(
        picture, networks.shape, 0.001, Schedule.with_prior(20, 0.001, moves=False), prior=networks
    )
    bits = sum(fitted.bits) / (320 * 512)
    assert trial.bits == pytest.approx(bits, rel=0.3)  # seams still cost something
    assert trial.distortion == pytest.approx(fitted.distortion, rel=0.2)
    assert trial.loss == pytest.approx(trial.distortion + 0.001 * trial.bits)


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
        (0.07, {2}),
        (0.3, {3}),
        (2.0, {4}),
    ):
        assert {s.finest for s in nearest_networks(lambda_, 3)} == finest
    assert [s.lambda_ for s in nearest_networks(0.0018, 3)] == pytest.approx([0.001, 0.001, 0.004])
    assert [s.finest for s in nearest_networks(0.004, 3)] == [0, 1]


def test_where_bits_are_dearest_all_pictures_have_the_same_sets():
    for lambda_ in (0.07, 0.3, 2.0):
        assert nearest_networks(lambda_, 3, FEW_PIXELS - 1) == nearest_networks(lambda_, 3)


def test_few_pixels_have_sets_of_their_own():
    few, others = (nearest_networks(0.001, 3, n) for n in (FEW_PIXELS - 1, FEW_PIXELS))
    assert others == nearest_networks(0.001, 3)
    for sets, is_for_few in ((few, True), (others, False)):
        assert {s.is_flat for s in sets} == {False, True}
        assert {s.is_for_few_pixels for s in sets} == {is_for_few}
    for side, is_for_few in ((264, True), (265, False)):
        picture = np.resize(image(), (side, side, 3))
        assert start_for(Trials(picture), 0.004, 22).is_for_few_pixels == is_for_few


def test_only_flat_sets_that_are_larger_than_others_have_fewer_passes():
    for pixels, is_slower in ((FEW_PIXELS, True), (FEW_PIXELS - 1, False)):
        flat = next(s for s in nearest_networks(0.001, 3, pixels) if s.is_flat)
        assert (schedule_for(100, 0.001, flat).passes < 100) == is_slower


def test_pictures_that_need_many_bits_have_the_finest_grid():
    candidates = nearest_networks(0.004, 3)
    assert best(image(), candidates, 0.004).finest == 1
    assert best(grain(), candidates, 0.004).finest == 0


@pytest.mark.parametrize(
    ("passes", "most_bits"), [(22, 0.25), (600, 0.217), (1500, 0.150), (6000, 0.150)]
)
def test_longer_fits_get_the_finest_grid_for_fewer_bits_up_to_a_point(passes, most_bits):
    candidates = nearest_networks(0.004, 3)
    for bits, finest in ((most_bits - 0.001, 1), (most_bits + 0.001, 0)):
        assert best(image(), candidates, 0.004, passes, bits=bits).finest == finest


def test_the_bits_that_a_file_is_to_have_decide_about_the_finest_grid():
    candidates = nearest_networks(0.004, 3)
    for picture in (image(), grain()):
        assert best(picture, candidates, 0.004, bits=0.1).finest == 1
        assert best(picture, candidates, 0.004, bits=1.0).finest == 0


def test_the_networks_with_less_loss_are_taken():
    networks = load_prior(SHIPPED)[0]
    spoilt = replace(networks, parameters=networks.parameters * np.float32(0.5))
    for candidates in ((networks, spoilt), (spoilt, networks)):
        assert best(image(), candidates, 0.0001) is networks
    assert best(image(), (spoilt,), 0.0001) is spoilt


def test_the_choice_follows_the_picture_and_the_weights_not_the_threads():
    candidates = nearest_networks(0.001, 3)
    assert not best(image(), candidates, 0.001).is_flat
    assert best(grain(), candidates, 0.001).is_flat
    both = np.concatenate([image(), grain()], axis=1)
    for threads in (1, 2, 3):
        for is_flat in (False, True):
            weights = np.zeros_like(both)
            weights[:, 90:] = is_flat
            weights[:, :90] = not is_flat
            chosen = best(both, candidates, 0.001, 30, weights, threads)
            assert chosen.is_flat == is_flat


def test_weights_that_leave_out_all_blocks_still_count():
    picture = image(400, 600)
    weights = np.zeros_like(picture)
    weights[190:210, 200:230] = 1
    networks = load_prior(SHIPPED)[0]
    spoilt = replace(networks, parameters=networks.parameters * np.float32(0.5))
    assert best(picture, (spoilt, networks), 0.0001, 4, weights) is networks


def test_from_scratch_the_start_follows_the_picture():
    shape = ModelShape(3, 7, (16,), 2, 12, (12, 12))
    for picture, is_flat in ((image(), False), (grain(), True)):
        chosen = [is_flat_better(Trials(picture, threads=n), shape, 0.001, 300) for n in (1, 2)]
        assert chosen == [is_flat] * 2


def test_context_models_move_where_their_grids_have_the_bits():
    shape = ModelShape(3, 3, (8,), 1, 8, (8,), (0, 1, 1))
    bits = 10.0 * shape.context.parameters
    assert worth_moving(shape, [bits, bits, 0.4 * bits], 10) == {0, 1}
    assert worth_moving(shape, [bits, bits, 0.4 * bits], 12) == {1}
    assert worth_moving(shape, [bits, 0.0, 0.0], 11) == set()
