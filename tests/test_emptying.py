"""Latents that lose their details, down to nothing."""

import numpy as np
import pytest

from fieldpack.codec.emptying import emptying

SIZES = [(48, 64), (24, 32), (12, 16), (6, 8), (3, 4)]


def latents_of(sizes=SIZES):
    random = np.random.default_rng(3)
    return [np.rint(random.normal(4, 3, size)).astype(np.float32) for size in sizes]


def roughness(grid):
    return sum(float(np.abs(np.diff(grid, axis=axis)).sum()) for axis in (0, 1))


def test_nothing_is_taken_at_first_and_all_at_last():
    latents = latents_of()
    emptied = emptying(latents, 3)
    assert all((a == b).all() for a, b in zip(emptied(0.0), latents, strict=True))
    assert not any(grid.any() for grid in emptied(1.0))


def test_details_go_first_and_colours_last():
    latents = latents_of()
    half = emptying(latents, 3)(0.5)
    assert not half[0].any()
    assert not half[1].any()
    assert all((half[k] == latents[k]).all() for k in (2, 3, 4))
    later = emptying(latents, 3)(0.85)
    for k in (2, 3, 4):
        assert roughness(later[k]) < 0.6 * roughness(latents[k])
        assert abs(later[k].mean() - latents[k].mean()) < 2


def test_parts_with_the_fewest_details_lose_them_first():
    latents = [np.zeros(size, np.float32) for size in ((32, 32), (16, 16))]
    latents[0][:, :] = 1
    latents[0][10:20, 10:20] = 5
    emptied = emptying(latents, 1)
    left = [emptied(share)[0] for share in np.linspace(0, 0.5, 33)]
    sums = [float(grid.sum()) for grid in left]
    assert sums == sorted(sums, reverse=True)
    assert len(set(sums)) > 16
    assert not left[-1].any()
    assert (left[16][10:20, 10:20] == 5).all()
    assert (left[16] == 0).mean() > 0.4


def test_what_is_smooth_goes_from_the_lowest_rows_up():
    latents = latents_of()
    last = emptying(latents, 3)(0.95)
    for k in (2, 3, 4):
        rows = len(last[k])
        assert not last[k][rows // 2 + 1 :].any()
        assert last[k][: rows // 2].any()


@pytest.mark.parametrize("sizes", [[(1, 1)], [(1, 9), (1, 5)], [(300, 2), (150, 1)]])
def test_odd_sizes(sizes):
    for channels in (1, 3):
        emptied = emptying(latents_of(sizes), channels)
        for share in (0.3, 0.7, 1.0):
            assert [grid.shape for grid in emptied(share)] == sizes
            assert all((grid == np.rint(grid)).all() for grid in emptied(share))
