"""Networks of .fpk files that are out of range, or just within."""

from __future__ import annotations

import numpy as np
import pytest
from format_comparison import assert_draws_as_reference, assert_refused
from format_evaluation import (
    ADD,
    BINARY,
    COMPLEX_LINEAR,
    COORDINATE,
    GABOR,
    HASH_GRID,
    LINEAR,
    MULTIPLY,
    ONE_HOT,
    SCALE,
    SHIFT,
    SIGMOID,
    SINE,
    SINUSOID,
    TANH,
    Operation,
)
from format_examples import constant, picture_file, picture_section
from format_reference import FLOAT32
from format_writing import container, operation_head, raw_network_payload, section, weights_head

import fieldpack


def weighted(opcode: int, rows: int, step: float = 1.0, **coding: int) -> bytes:
    """An operation on the value before it, its weights not included."""
    return operation_head(opcode, 1) + weights_head(rows, step, **coding)


def one_hot(places: int, axis: int = 0) -> bytes:
    """The encoding of a nearest position."""
    return operation_head(ONE_HOT, axis, places)


def hash_grid(cells: int, channels: int, entries: int) -> bytes:
    """A level of a hash grid, its weights not included."""
    return operation_head(HASH_GRID, cells, channels) + weights_head(entries)


ONE = one_hot(1)
ONE_ROW = weighted(LINEAR, 1)
WRONG_NETWORKS = {
    "no operations": [],
    "opcode 0": [operation_head(0, 1)],
    "opcode 21": [ONE, operation_head(21, 1)],
    "no such coordinate": [operation_head(COORDINATE, 2), ONE_ROW],
    "a complex product of an odd value": [ONE, weighted(COMPLEX_LINEAR, 1), ONE_ROW],
    "a wavelet of an odd value": [ONE, operation_head(GABOR, 1, constants=(1, 1)), ONE_ROW],
    "a wavelet of an infinite frequency": [
        one_hot(2),
        operation_head(GABOR, 1, constants=(np.inf, 1)),
        ONE_ROW,
    ],
    "a sine that is not a number": [ONE, operation_head(SINE, 1, constants=(np.nan,))],
    "too many complex rows": [one_hot(2), weighted(COMPLEX_LINEAR, 32769), ONE_ROW],
    "a hash grid of no cell": [hash_grid(0, 1, 4)],
    "a hash grid of too many cells": [hash_grid(2**31, 1, 4)],
    "a hash grid of no entry": [hash_grid(5, 1, 0)],
    "a hash grid of no channel": [hash_grid(5, 0, 4), ONE_ROW],
    "a hash grid of too many channels": [hash_grid(5, 65537, 1), ONE_ROW],
    "a hash grid of too many entries": [hash_grid(5, 1, 2**24 + 1)],
    "a hash grid of too many weights": [hash_grid(5, 256, 2**16 + 1), ONE_ROW],
    "no such axis": [one_hot(1, axis=2)],
    "one-hot of no place": [one_hot(0)],
    "one-hot of too many places": [one_hot(65537), ONE_ROW],
    "binary of no place": [operation_head(BINARY, 0, 0, 1)],
    "binary of too many places": [operation_head(BINARY, 0, 2**31, 1)],
    "binary of no channel": [operation_head(BINARY, 0, 5, 0)],
    "binary of too many channels": [operation_head(BINARY, 0, 5, 65537), ONE_ROW],
    "sinusoid of no place": [operation_head(SINUSOID, 0, 0, 1, constants=(1, 1))],
    "sinusoid of too many places": [operation_head(SINUSOID, 0, 2**31, 1, constants=(1, 1))],
    "an infinite constant": [operation_head(SINUSOID, 0, 5, 1, constants=(np.inf, 1))],
    "reads nothing": [operation_head(TANH, 1)],
    "reads itself": [ONE, operation_head(TANH, 0)],
    "reads what is before the first": [ONE, operation_head(TANH, 2)],
    "reads what is far before": [ONE, operation_head(TANH, 2**62)],
    "adds unlike values": [ONE, one_hot(2), operation_head(ADD, 1, 2), ONE_ROW],
    "multiplies unlike values": [ONE, one_hot(2), operation_head(MULTIPLY, 1, 2), ONE_ROW],
    "shifts by two numbers": [ONE, weighted(SHIFT, 2)],
    "shifts by none": [ONE, weighted(SHIFT, 0)],
    "scales by two numbers": [ONE, weighted(SCALE, 2)],
    "scales by none": [ONE, weighted(SCALE, 0)],
    "an infinite step": [ONE, weighted(SCALE, 1, step=np.inf)],
    "a step that is not a number": [ONE, weighted(SCALE, 1, step=np.nan)],
    "too far a reach": [ONE, weighted(SCALE, 1, reach=32768)],
    "another shape": [ONE, weighted(SCALE, 1, reach=1, shape=7)],
    "too high a centre": [ONE, weighted(SCALE, 1, centre=2**30 + 1)],
    "too low a centre": [ONE, weighted(SCALE, 1, centre=-(2**30) - 1)],
    "too many rows": [ONE, weighted(LINEAR, 65537), ONE_ROW],
    "too many weights": [one_hot(257), weighted(LINEAR, 65536), ONE_ROW],
    "too many weights together": [one_hot(4096), weighted(LINEAR, 4096), ONE_ROW],
    "no rows": [ONE, weighted(LINEAR, 0), ONE_ROW],
    "no coded rows": [ONE, weighted(LINEAR, 0, reach=1), ONE_ROW],
    "no rows of endless columns": [one_hot(2**62), weighted(LINEAR, 0), ONE_ROW],
    "no coded rows of endless columns": [one_hot(2**62), weighted(LINEAR, 0, reach=1), ONE_ROW],
    "endless columns": [one_hot(2**62), ONE_ROW],
    "too many operations": [ONE] * 4097,
}


@pytest.mark.parametrize("wrong", WRONG_NETWORKS)
def test_wrong_networks_are_refused(wrong: str) -> None:
    payload = raw_network_payload(2, WRONG_NETWORKS[wrong])
    assert_refused(container(picture_section(), section("N", payload)))


@pytest.mark.parametrize("axes", [0, 1, 3, 9])
def test_network_of_another_number_of_axes_is_refused(axes: int) -> None:
    payload = raw_network_payload(axes, [ONE])
    assert_refused(container(picture_section(), section("N", payload)))


def test_most_operations_are_drawn() -> None:
    payload = raw_network_payload(2, [ONE, *[operation_head(TANH, 1)] * 4095])
    assert_draws_as_reference(container(picture_section(sample=FLOAT32), section("N", payload)))


@pytest.mark.parametrize("centre", [-(2**30), 2**30])
def test_farthest_centres_are_drawn(centre: int) -> None:
    payload = raw_network_payload(2, [ONE, weighted(SCALE, 1, centre=centre, step=1e-9)])
    assert_draws_as_reference(container(picture_section(sample=FLOAT32), section("N", payload)))


def wide_file(places: int, sigmoids: int) -> bytes:
    """A picture whose values have 2 * places + 1 + sigmoids channels together."""
    operations = [
        Operation(ONE_HOT, integers=(0, places)),
        Operation(TANH, [1]),
        Operation(LINEAR, [1], weights=constant(1, 0.5, 1, places)),
        *[Operation(SIGMOID, [1])] * sigmoids,
    ]
    return picture_file(*operations, sample=FLOAT32, width=2, height=1)


def test_values_of_2_to_the_17_channels_together_are_drawn() -> None:
    data = wide_file(65535, sigmoids=1)
    samples = assert_draws_as_reference(data, threads=1)
    assert fieldpack.decode(data, threads=7).tobytes() == samples.tobytes()


def test_values_of_more_channels_together_are_refused() -> None:
    assert_refused(wide_file(65535, sigmoids=2), "channels")
