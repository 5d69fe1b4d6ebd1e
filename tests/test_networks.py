"""Encodings, the gated network, its export, and training."""

import math

import numpy as np
import program_reference
import pytest
from conftest import smooth_samples

from fieldpack.errors import FieldpackError, RequestError

torch = pytest.importorskip("torch")

from fieldpack import networks  # noqa: E402
from fieldpack.networks.muon import Muon, orthogonalize  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_network(positions=(24, 16), channels=3, **options):
    return networks.GatedNetwork(positions, channels, **{"width": 16, **options})


def smooth_picture(height=16, width=24, channels=3):
    return smooth_samples(height, width, channels) / 255


def psnr(network, picture):
    return -10 * math.log10(np.mean(np.square(networks.render(network) - picture)))


def points_and_coordinates(axes, count=40, seed=0):
    points = np.random.default_rng(seed).uniform(-1, 1, (count, axes))
    return points, torch.from_numpy(points).unbind(1)


# Encodings


def test_sinusoidal_follows_its_formula():
    positions = torch.tensor([0.0, 1.0, 2.5, 767.0], dtype=torch.float64)
    codes = networks.Sinusoidal(768)(positions)
    assert codes.shape == (4, int(math.log2(768)) + 2)
    for j in range(11):
        expected = np.sin(positions.numpy() * 2.0 ** -(j - 1))
        np.testing.assert_allclose(codes[:, j], expected, atol=1e-12)


def test_sinusoidal_with_free_ratio():
    codes = networks.Sinusoidal(50, length=4, first=1.0, ratio=0.75)(torch.tensor([7.0]))
    np.testing.assert_allclose(codes[0], [math.sin(7 * 0.75**i) for i in range(4)], atol=1e-6)


def test_binary_is_the_bits_lowest_first():
    codes = networks.Binary(512)(torch.arange(512.0))
    assert codes.shape == (512, 9)
    np.testing.assert_array_equal(codes.numpy() @ 2.0 ** np.arange(9), np.arange(512))


def test_one_hot_is_the_identity():
    np.testing.assert_array_equal(networks.OneHot(5)(torch.arange(5.0)), np.eye(5))


@pytest.mark.parametrize(
    ("encoding", "n", "length"),
    [
        ("one-hot", 1, 1),
        ("binary", 1, 1),
        ("binary", 2, 1),
        ("binary", 9, 4),
        ("sinusoidal", 1, 2),
        ("sinusoidal", 500, 10),
        ("sinusoidal", 512, 11),
    ],
)
def test_lengths(encoding, n, length):
    module = networks.ENCODINGS[encoding](n)
    assert module.length == length
    assert module(torch.zeros(2, 3)).shape == (2, 3, length)


@pytest.mark.parametrize("encoding", ["one-hot", "binary"])
def test_discrete_codes_belong_to_the_nearest_position(encoding):
    module = networks.ENCODINGS[encoding](6)
    positions = torch.tensor([-0.9, 0.4, 0.6, 4.49, 7.0])
    torch.testing.assert_close(module(positions), module(torch.tensor([0.0, 0, 1, 4, 5])))


def test_impossible_encodings_are_refused():
    with pytest.raises(RequestError, match="position"):
        networks.OneHot(0)
    with pytest.raises(RequestError, match="channel"):
        networks.Sinusoidal(8, length=0)


# Blocks


def test_gating_follows_its_formula():
    block = networks.Gating(5, 7).double()
    x = torch.randn(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    product = torch.tanh(block.query(x) * block.key(x)) * block.value(x)
    mean, variance = product.mean(0), product.var(0, unbiased=False)
    normed = (product - mean) / torch.sqrt(variance + 1e-5)
    expected = torch.nn.functional.gelu(normed)
    torch.testing.assert_close(block(x), expected)


def test_gating_of_parts_is_gating_of_their_concatenation():
    block = networks.Gating([3, 4], 6).double().eval()
    x, y = torch.randn(1, 5, 3).double(), torch.randn(9, 1, 4).double()
    joined = torch.cat([x.expand(9, 5, 3), y.expand(9, 5, 4)], dim=-1)
    whole = networks.Gating(7, 6).double().eval()
    whole.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(x, y), whole(joined))


def test_rezero_with_alpha_zero_is_the_identity():
    value = torch.randn(10, 4)
    blocks = [networks.Gating(4, 4), networks.Gating(4, 4)]
    assert torch.equal(networks.ReZero(blocks, alpha=0.0)(value), value)
    shortcut = networks.ReZero(blocks, alpha=0.01)
    torch.testing.assert_close(shortcut(value), value + 0.01 * blocks[1](blocks[0](value)))
    assert shortcut.alpha.requires_grad


# The network


def test_number_of_weights():
    assert networks.GatedNetwork((768, 512), channels=3).parameter_count == 190_405


def test_grid_and_scattered_points_give_the_same_values():
    network = small_network().eval()
    x, y = networks.axis_coordinates(24), networks.axis_coordinates(16)
    grid = network(*networks.grid_coordinates((x, y)))
    assert grid.shape == (16, 24, 3)
    assert grid.dtype == torch.float32
    scattered = network(x[None, :].expand(16, 24).flatten(), y[:, None].expand(16, 24).flatten())
    torch.testing.assert_close(grid.reshape(-1, 3), scattered)
    np.testing.assert_allclose(networks.render(network, points=50), grid.detach(), atol=1e-6)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second, other = small_network(seed=1), small_network(seed=1), small_network(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.output.weight, second.output.weight)
    assert not torch.equal(first.output.weight, other.output.weight)


@pytest.mark.parametrize(
    "arguments",
    [((), 3, {}), ((4, 4), 0, {}), ((4, 4), 1, {"width": 0}), ((4,), 1, {"encoding": "ternary"})],
)
def test_impossible_networks_are_refused(arguments):
    positions, channels, options = arguments
    with pytest.raises(RequestError):
        networks.GatedNetwork(positions, channels, **options)


@pytest.mark.parametrize("encoding", ["sinusoidal", "binary", "one-hot"])
@pytest.mark.parametrize("positions", [(31,), (24, 16), (5, 9, 3)])
def test_export_gives_the_evaluated_network(encoding, positions):
    network = small_network(positions, 2, encoding=encoding, alpha=0.3)
    _, coordinates = points_and_coordinates(len(positions), seed=1)
    for _ in range(5):
        network(*coordinates)  # so that running statistics are not the initial ones
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    network.eval()
    points, coordinates = points_and_coordinates(len(positions))
    expected = network(*coordinates).detach()
    values = program_reference.evaluate(network.export(), points)
    np.testing.assert_allclose(values, expected, atol=1e-5)


# Drawing samples


@pytest.mark.parametrize("shape", [(7, 2), (5, 9, 3), (1, 1, 1), (1, 500, 1), (4, 3, 5, 2)])
@pytest.mark.parametrize("method", ["draw_points", "draw_crossings"])
def test_drawn_values_belong_to_their_coordinates(shape, method):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    samples = networks.GridSamples(values)
    batch = getattr(samples, method)(500, torch.Generator().manual_seed(0))
    full = np.broadcast_shapes(*(c.shape for c in batch.coordinates))
    assert batch.values.shape == (*full, shape[-1])
    assert 2 <= math.prod(full) <= 1100
    indices = [
        np.rint((np.broadcast_to(c, full) + 1) * n / 2 - 0.5).astype(int)
        for c, n in zip(batch.coordinates, samples.positions, strict=True)
    ]
    np.testing.assert_array_equal(batch.values, values[tuple(reversed(indices))])


def test_crossings_reach_every_line():
    samples = networks.GridSamples(np.zeros((12, 20, 1)))
    batch = samples.draw_crossings(12 * 20 * 4, torch.Generator().manual_seed(0))
    assert [len(c.unique()) for c in batch.coordinates] == [20, 12]


def test_samples_that_are_not_samples_are_refused():
    with pytest.raises(RequestError, match="finite"):
        networks.GridSamples(np.full((2, 2, 1), np.nan))
    with pytest.raises(RequestError, match="shape"):
        networks.GridSamples(np.zeros(4))
    with pytest.raises(RequestError, match="3 coordinates but 4"):
        networks.ScatteredSamples(np.zeros((3, 2)), np.zeros((4, 1)))
    with pytest.raises(RequestError, match="no"):
        networks.ScatteredSamples(np.zeros((0, 2)), np.zeros((0, 1)))


# Optimiser and recipes


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 16, 30), (2, 30, 16)])
def test_orthogonalized_singular_values_are_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before_u, _, before_v = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalize(matrices)
    core = before_u.mT @ result @ before_v.mT
    singular = torch.linalg.svdvals(result)
    assert singular.max() < 1.3
    assert singular.median() > 0.6
    off_diagonal = core - torch.diag_embed(core.diagonal(dim1=-2, dim2=-1))
    assert off_diagonal.abs().max() < 1e-4


@pytest.mark.parametrize("size", [0.0, 1e-44, 1e-22, 1e15])
def test_orthogonalize_is_finite_whatever_the_size(size):
    matrices = size * torch.randn(2, 16, 20, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(orthogonalize(matrices)).all()


def test_muon_finds_a_matrix():
    target = torch.randn(18, 20, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(torch.zeros(18, 20))
    optimizer = Muon([weight], lr=0.3)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / 200)
        weight.grad = weight.detach() - target
        optimizer.step()
    assert (weight - target).abs().max() < 0.05


def test_notebook_recipe():
    recipe = networks.NOTEBOOK
    weight = torch.nn.Linear(20, 20)
    (optimizer,) = recipe.optimizers(weight, recipe.rate)
    assert isinstance(optimizer, torch.optim.RMSprop)
    defaults = torch.optim.RMSprop(weight.parameters()).defaults
    assert optimizer.defaults == {**defaults, "lr": 1e-3}
    assert recipe.batch == 10_000
    assert recipe.sampling == "points"
    assert {recipe.schedule(p) for p in (0, 0.3, 1)} == {1}


def test_default_schedule_rises_and_ends_at_zero():
    schedule = networks.DEFAULT.schedule
    assert schedule(0.0) < 0.2
    assert schedule(1.0) == 0
    assert max(schedule(p) for p in np.linspace(0, 1, 1001)) > 0.95


# Training


@pytest.mark.parametrize("recipe", ["default", "notebook"])
def test_training_learns_a_small_picture(recipe):
    picture = smooth_picture()
    network = small_network()
    history = networks.train(
        network, networks.GridSamples(picture), networks.RECIPES[recipe], steps=250, batch=256
    )
    assert len(history.losses) == 250
    assert history.stopped == "steps"
    assert np.mean(history.losses[-10:]) < 0.1 * np.mean(history.losses[:10])
    assert not network.training
    assert psnr(network, picture) > {"default": 35, "notebook": 22}[recipe]


def test_training_learns_scattered_samples():
    generator = np.random.default_rng(0)
    points = generator.uniform(-1, 1, (400, 3))
    values = 0.5 + 0.3 * np.sin(2 * points[:, :1] + points[:, 1:2] * points[:, 2:])
    network = small_network((6, 6, 6), 1)
    samples = networks.ScatteredSamples(points, values)
    networks.train(network, samples, networks.DEFAULT, steps=200, batch=128)
    predicted = network(*torch.from_numpy(points).unbind(1)).detach()
    assert np.mean(np.square(predicted.numpy() - values)) < 1e-3


@pytest.mark.parametrize("recipe", ["default", "notebook"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 1), (500, 1, 4), (2, 2, 1)])
def test_tiny_pictures(recipe, shape):
    picture = smooth_picture(*shape)
    network = small_network(shape[1::-1], shape[2])
    samples = networks.GridSamples(picture)
    networks.train(network, samples, networks.RECIPES[recipe], steps=150, batch=2 * 64)
    exported = program_reference.evaluate(network.export(), np.zeros((1, 2)))
    inside = network(torch.zeros(1), torch.zeros(1)).detach()
    np.testing.assert_allclose(exported, inside, atol=1e-4)
    assert psnr(network, picture) > 15


def test_smallest_batch():
    network = small_network((1, 1), 1)
    networks.train(
        network, networks.GridSamples(np.ones((1, 1, 1))), networks.NOTEBOOK, batch=2, steps=3
    )
    with pytest.raises(RequestError, match="2 points"):
        networks.train(
            network, networks.GridSamples(np.ones((1, 1, 1))), networks.NOTEBOOK, batch=1
        )


@pytest.mark.parametrize("recipe", ["default", "notebook"])
def test_same_seed_same_result(recipe):
    results = []
    for seed in (5, 5, 6):
        network = small_network()
        samples = networks.GridSamples(smooth_picture())
        networks.train(network, samples, networks.RECIPES[recipe], steps=10, batch=128, seed=seed)
        results.append(networks.render(network))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_seconds_bound_training_and_its_schedule():
    progress = []
    history = networks.train(
        small_network(),
        networks.GridSamples(smooth_picture()),
        networks.DEFAULT,
        steps=10**9,
        seconds=0.4,
        batch=64,
        callback=lambda state: progress.append(state.progress),
    )
    assert history.stopped == "seconds"
    assert 0.4 <= history.seconds < 2
    assert progress == sorted(progress)
    assert progress[-1] > 0.9


def test_less_than_a_step_of_time_is_one_step():
    history = networks.train(
        small_network(),
        networks.GridSamples(smooth_picture()),
        networks.DEFAULT,
        seconds=1e-9,
        batch=64,
    )
    assert len(history.losses) == 1


def test_callback_sees_the_training_and_stops_it():
    states = []

    def callback(state):
        states.append(state)
        return False if state.step == 7 else None

    network = small_network()
    samples = networks.GridSamples(smooth_picture())
    before = network.output.weight.clone()
    history = networks.train(network, samples, networks.DEFAULT, batch=64, callback=callback)
    assert history.stopped == "callback"
    assert [state.step for state in states] == list(range(1, 8))
    assert [state.loss for state in states] == history.losses
    assert states[-1].mean_loss == pytest.approx(np.mean(history.losses))
    assert 0 < states[-1].progress < 0.01
    assert not network.training
    assert not torch.equal(network.output.weight, before)


def test_statistics_do_not_depend_on_how_many_points_are_evaluated():
    network = small_network()
    samples = networks.GridSamples(smooth_picture())
    networks.train(network, samples, networks.DEFAULT, steps=20, batch=128)
    x, y = torch.rand(100), torch.rand(100)
    whole = network(x, y)
    torch.testing.assert_close(network(x[:1], y[:1]), whole[:1])


def test_divergence_goes_back_to_finite_weights():
    network = small_network()

    def poison(state):
        if state.step in (20, 40):
            network.output.weight.data.fill_(math.inf)

    history = networks.train(
        network,
        networks.GridSamples(smooth_picture()),
        networks.DEFAULT,
        steps=40,
        batch=64,
        callback=poison,
    )
    assert history.recoveries == 1
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


def test_hopeless_divergence_is_an_error():
    network = small_network()

    def poison(state):
        network.output.weight.data.fill_(math.nan)

    network.output.weight.data.fill_(math.nan)
    with pytest.raises(FieldpackError, match="diverges"):
        networks.train(
            network,
            networks.GridSamples(smooth_picture()),
            networks.DEFAULT,
            steps=40,
            callback=poison,
        )


@pytest.mark.parametrize("bound", [{"steps": 0}, {"seconds": 0.0}, {"seconds": math.nan}])
def test_bounds_must_be_positive(bound):
    with pytest.raises(RequestError, match="training takes"):
        networks.train(
            small_network(), networks.GridSamples(smooth_picture()), networks.DEFAULT, **bound
        )


def test_network_and_samples_must_agree():
    with pytest.raises(RequestError, match="3 channels"):
        networks.train(small_network(), networks.GridSamples(np.zeros((4, 4, 1))), networks.DEFAULT)
