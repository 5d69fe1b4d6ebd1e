"""Programs: checks, evaluation by the engine, quantisation, bytes."""

import itertools
import math

import numpy as np
import program_reference
import pytest

from fieldpack.errors import FormatError, RequestError
from fieldpack.program import (
    Evaluator,
    Opcode,
    Operation,
    Program,
    ProgramBuilder,
    QuantizedTensor,
    quantize_to_bits,
    quantize_to_loss,
    read_program,
    write_program,
)

INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]


def a_program(axes=2, width=9, channels=3, seed=0):
    """A program with every operation, of sizes that no vector width divides."""
    generator = np.random.default_rng(seed)

    def weights(*shape):
        return generator.normal(size=shape) / np.sqrt(shape[-1])

    builder = ProgramBuilder(axes)
    hidden = None
    for axis in range(axes):
        codes = [
            (builder.sinusoid(axis, 37, 5, 2.0, 0.5), 5),
            (builder.one_hot(axis, 7), 7),
            (builder.binary(axis, 37, 6), 6),
        ]
        for code, length in codes:
            part = builder.linear(code, weights(width, length), weights(width))
            hidden = part if hidden is None else builder.add(hidden, part)
        coordinate = builder.linear(builder.coordinate(axis), weights(width, 1))
        hidden = builder.add(hidden, builder.sine(coordinate, 5.0))
        hidden = builder.add(hidden, builder.cosine(coordinate, -2.5))
        hidden = builder.add(hidden, builder.gaussian(coordinate))
    hidden = builder.add(hidden, builder.hash_grid(3, weights(4**axes, width)))
    wave = builder.gabor(builder.linear(hidden, weights(10, width)), 1.5, 0.75)
    wave = builder.gabor(builder.complex_linear(wave, weights(4, 10)), -2.0, 0.5)
    wave = builder.multiply(builder.relu(wave), builder.absolute(wave))
    hidden = builder.add(hidden, builder.linear(wave, weights(width, 8)))
    gate = builder.tanh(builder.multiply(hidden, builder.linear(hidden, weights(width, width))))
    gate = builder.gelu(builder.shift(gate, weights(1)))
    gate = builder.scale(builder.scale(gate, weights(width)), weights(1))
    builder.sigmoid(builder.linear(gate, 5 * weights(channels, width), weights(channels)))
    return builder.build()


def use(monkeypatch, isa):
    monkeypatch.setenv("FIELDPACK_ISA", isa)
    try:
        Evaluator(a_program(1))
    except RequestError:
        pytest.skip(f"this machine has no {isa}")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_engine_agrees_with_the_reference(axes):
    program = a_program(axes)
    points = np.random.default_rng(1).uniform(-1.2, 1.2, (301, axes))
    values = Evaluator(program).points(points)
    expected = program_reference.evaluate(program, points)
    assert values.shape == (301, 3)
    np.testing.assert_allclose(values, expected, atol=2e-5)


@pytest.mark.parametrize(
    "sizes", [(1,), (200,), (1, 1), (1, 130), (67, 5), (64, 64), (3, 4, 5), (1, 70, 2)]
)
def test_grid_is_the_points_of_the_grid(sizes):
    program = a_program(len(sizes))
    axes = [np.linspace(-1, 1, n) if n > 1 else np.array([0.3]) for n in sizes]
    points = np.array([p[::-1] for p in itertools.product(*axes[::-1])])
    evaluator = Evaluator(program)
    grid = evaluator.grid(axes)
    assert grid.shape == (*sizes[::-1], 3)
    np.testing.assert_array_equal(grid.reshape(-1, 3), evaluator.points(points))


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_instruction_set_and_thread_count_gives_the_same_bits(isa, threads, monkeypatch):
    program = a_program()
    axes = [np.linspace(-1, 1, 61), np.linspace(-1, 1, 29)]
    monkeypatch.setenv("FIELDPACK_ISA", "baseline")
    expected = Evaluator(program, threads=1).grid(axes)
    use(monkeypatch, isa)
    np.testing.assert_array_equal(Evaluator(program, threads=threads).grid(axes), expected)


def test_unknown_instruction_set_is_an_error(monkeypatch):
    monkeypatch.setenv("FIELDPACK_ISA", "mmx")
    with pytest.raises(RequestError, match="mmx"):
        Evaluator(a_program())


def test_blocks_do_not_show(monkeypatch):
    program = a_program(3)
    axes = [np.linspace(-1, 1, n) for n in (50, 11, 7)]
    whole = Evaluator(program).grid(axes)
    small = Evaluator(program)
    small._block_points = 64
    np.testing.assert_array_equal(small.grid(axes), whole)


def exact_gelu(x):
    return np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


@pytest.mark.parametrize(
    ("function", "exact"),
    [("tanh", np.tanh), ("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("gelu", exact_gelu)],
)
def test_elementary_functions(function, exact):
    builder = ProgramBuilder(1)
    x = builder.linear(builder.sinusoid(0, 2, 1, 1.5, 1.0), [[30.0]])
    getattr(builder, function)(x)
    points = np.linspace(-1, 1, 999)[:, np.newaxis]
    values = Evaluator(builder.build()).points(points)[:, 0]
    inputs = 30 * np.sin(1.5 * (points[:, 0] + 0.5))
    np.testing.assert_allclose(values, exact(inputs), atol=3e-6, rtol=1e-6)


def test_programs_that_do_not_fit_together_are_refused():
    sine = Operation(Opcode.SINUSOID, integers=(0, 8, 4), floats=(2.0, 0.5))
    four = np.zeros(4, np.float32)
    matrix = np.zeros((2, 3), np.float32)
    bad = [
        (1, [], []),
        (0, [sine], []),
        (1, [Operation(Opcode.TANH, inputs=(0,))], []),
        (1, [sine, Operation(Opcode.ADD, inputs=(0,))], []),
        (1, [sine, Operation(Opcode.LINEAR, inputs=(0,), tensors=(0,))], [matrix]),
        (1, [sine, Operation(Opcode.SHIFT, inputs=(0,), tensors=(1,))], [four]),
        (1, [sine, Operation(Opcode.SHIFT, inputs=(0,), tensors=(0,))], [four[:3]]),
        (1, [Operation(Opcode.ONE_HOT, integers=(1, 8))], []),
        (1, [Operation(Opcode.ONE_HOT, integers=(0, 1 << 20))], []),
        (1, [Operation(Opcode.BINARY, integers=(0, 8, 0))], []),
    ]
    for axes, operations, tensors in bad:
        with pytest.raises(FormatError):
            Program(axes, tuple(operations), tuple(tensors))


def test_quantised_program_returns_from_bytes():
    program = a_program()
    tensors = quantize_to_bits(program, 8)
    returned, costs = read_program(write_program(program, tensors))
    assert returned.operations == program.operations
    for tensor, original in zip(returned.tensors, tensors, strict=True):
        np.testing.assert_array_equal(tensor, original.values())
    assert [cost.shape for cost in costs] == [tensor.shape for tensor in program.tensors]


@pytest.mark.parametrize("bits", [2, 5, 16])
def test_forced_bits_bound_the_levels(bits):
    for quantized, tensor in zip(
        quantize_to_bits(a_program(), bits), a_program().tensors, strict=True
    ):
        assert np.abs(quantized.symbols).max() <= 2 ** (bits - 1) - 1
        assert np.abs(quantized.values() - tensor).max() <= 0.5001 * quantized.step


@pytest.mark.parametrize("bits", [1, 17])
def test_forced_bits_out_of_range(bits):
    with pytest.raises(RequestError, match="2 to 16"):
        quantize_to_bits(a_program(), bits)


def test_chosen_steps_keep_the_loss_and_beat_equal_bits():
    program = a_program(width=40)
    points = np.random.default_rng(5).uniform(-1, 1, (2000, 2))
    exact = Evaluator(program).points(points)
    noise = np.random.default_rng(6).normal(0, 0.01, exact.shape).astype(np.float32)
    target = exact + noise

    def error(tensors):
        quantized = program.with_tensors([tensor.values() for tensor in tensors])
        return np.mean(np.square(Evaluator(quantized).points(points) - target))

    chosen = quantize_to_loss(
        program, lambda p: Evaluator(p).points(points), target, max_loss=0.1, floor=0.0
    )
    before = np.mean(np.square(noise))
    loss = 10 * np.log10(error(chosen) / before)
    assert 0.03 < loss <= 0.1
    size = len(write_program(program, chosen))
    fewest_equal = next(
        bits for bits in range(2, 17)
        if 10 * np.log10(error(quantize_to_bits(program, bits)) / before) <= 0.1
    )  # fmt: skip
    assert size < len(write_program(program, quantize_to_bits(program, fewest_equal)))


def test_a_network_that_changes_nothing_is_quantised_too():
    builder = ProgramBuilder(1)
    builder.linear(builder.sinusoid(0, 4, 2, 1.0, 0.5), np.zeros((1, 2)), np.zeros(1))
    program = builder.build()
    points = np.zeros((3, 1))
    tensors = quantize_to_loss(
        program,
        lambda p: Evaluator(p).points(points),
        np.zeros((3, 1), np.float32),
        max_loss=0.1,
        floor=1e-9,
    )
    assert all(isinstance(tensor, QuantizedTensor) for tensor in tensors)
    assert all((tensor.symbols == 0).all() for tensor in tensors)
