"""Checksums, the range coder, and the distribution of weights."""

import math
import zlib

import numpy as np
import pytest

from fieldpack import _engine
from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.errors import FormatError
from fieldpack.program.weights import (
    QuantizedTensor,
    WeightDecoder,
    WeightDistribution,
    WeightEncoder,
)


@pytest.mark.parametrize("size", [0, 1, 9, 1000])
def test_crc32_is_that_of_zlib(size):
    data = np.random.default_rng(size).bytes(size)
    assert _engine.crc32(data) == zlib.crc32(data)


def test_range_coder_returns_symbols_of_changing_tables():
    generator = np.random.default_rng(1)
    tables = [
        generator.integers(1, 2**bits, size).astype(np.uint32)
        for bits, size in [(1, 1), (4, 2), (20, 300), (2, 5000), (31, 2)]
    ]
    runs = [
        (generator.integers(0, len(table), 500).astype(np.int32), table) for table in tables * 3
    ]
    encoder = _engine.RangeEncoder()
    for symbols, table in runs:
        encoder.encode(symbols, table)
    decoder = _engine.RangeDecoder(encoder.finish())
    for symbols, table in runs:
        np.testing.assert_array_equal(decoder.decode(len(symbols), table), symbols)


def test_range_coder_carries_through_many_bytes():
    # The last of very unequal symbols keeps the interval just under a power of two, so that a
    # carry has to run through the bytes before.
    table = np.array([2**31, 1], np.uint32)
    for count in range(1, 60):
        symbols = np.array([1] * count + [0] * 40 + [1], np.int32)
        encoder = _engine.RangeEncoder()
        encoder.encode(symbols, table)
        decoder = _engine.RangeDecoder(encoder.finish())
        np.testing.assert_array_equal(decoder.decode(len(symbols), table), symbols)


def test_range_coder_length_is_the_entropy():
    table = np.array([1000, 200, 30, 4, 1], np.uint32)
    symbols = np.random.default_rng(2).choice(5, 20_000, p=table / table.sum()).astype(np.int32)
    encoder = _engine.RangeEncoder()
    encoder.encode(symbols, table)
    entropy = -np.log2(table[symbols] / table.sum()).sum() / 8
    assert entropy <= len(encoder.finish()) <= entropy + 2


def test_empty_stream_takes_no_bytes():
    assert _engine.RangeEncoder().finish() == b""


@pytest.mark.parametrize("table", [[], [0, 1], [2**31, 2**31]])
def test_bad_tables_are_refused(table):
    frequencies = np.array(table, np.uint32)
    with pytest.raises(ValueError, match="frequenc"):
        _engine.RangeDecoder(b"").decode(1, frequencies)


def test_symbols_outside_of_the_table_are_refused():
    with pytest.raises(ValueError, match="outside"):
        _engine.RangeEncoder().encode(np.array([2], np.int32), np.array([1, 1], np.uint32))


@pytest.mark.parametrize(("shape", "exponent"), list(enumerate([0.5, 1, 1.5, 2, 3, 4, 8])))
@pytest.mark.parametrize("scale", [0, 61, 90, 255])
def test_weight_frequencies_follow_the_density(shape, exponent, scale):
    reach = 40
    s = 2 ** (scale / 8 - 8)
    distances = np.abs(np.arange(-reach, reach + 1)) / s
    with np.errstate(over="ignore"):
        density = 65536 * np.exp(-(distances**exponent))
    frequencies = _engine.weight_frequencies(shape, scale, reach)
    assert np.abs(frequencies - (1 + density)).max() <= 1


def test_fitted_distribution_is_near_the_entropy_of_the_weights():
    generator = np.random.default_rng(3)
    for draw in (generator.laplace, generator.normal):
        symbols = np.rint(draw(7, 6, 20_000)).astype(np.int32)
        distribution, bits = WeightDistribution.fit(symbols)
        counts = np.unique(symbols, return_counts=True)[1]
        entropy = -(counts * np.log2(counts / symbols.size)).sum()
        assert abs(distribution.centre - 7) <= 1
        assert entropy * 0.99 < bits < entropy * 1.02
        assert bits == pytest.approx(distribution.bits(symbols))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(5),
        np.array([-1.0] + [0.9] * 9),
        np.full(3, 2.5),
        np.array([-1e30, 1e30]),
        np.array([1e-40, 0]),
    ],
)
@pytest.mark.parametrize("step", [0.01, 0.0])
def test_extreme_tensors_survive(values, step):
    tensor = values.astype(np.float32)
    quantized = QuantizedTensor.from_values(tensor, step * float(np.abs(tensor).max()))
    distribution, _ = WeightDistribution.fit(quantized.symbols)
    encoder = WeightEncoder()
    encoder.encode(quantized.symbols, distribution)
    decoded = WeightDecoder(encoder.finish()).decode(tensor.shape, distribution)
    np.testing.assert_array_equal(decoded, quantized.symbols)
    assert np.abs(quantized.values() - tensor).max() <= max(quantized.step, 1e-30)


def test_numbers_return():
    writer = ByteWriter()
    unsigned = [0, 1, 127, 128, 300, 2**31, 2**63 - 1]
    signed = [0, -1, 1, -64, 64, 2**40, -(2**40)]
    for number in unsigned:
        writer.varint(number)
    for number in signed:
        writer.signed(number)
    writer.float32(0.1)
    writer.float64(math.pi)
    reader = ByteReader(writer.getvalue(), "the test")
    assert [reader.varint() for _ in unsigned] == unsigned
    assert [reader.signed() for _ in signed] == signed
    assert reader.float32() == np.float32(0.1)
    assert reader.float64() == math.pi
    reader.end()


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9 + b"\x7f"])
def test_broken_varints_are_refused(data):
    with pytest.raises(FormatError, match="the test"):
        ByteReader(data, "the test").varint()
