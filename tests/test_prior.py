"""The shipped prior: whole, and refused where it does not fit."""

import numpy as np
import pytest
from conftest import smooth_samples

import fieldpack
from fieldpack import FieldpackError, FormatError
from fieldpack.codec import prior
from fieldpack.codec.network_coding import Networks, tensor_groups
from fieldpack.codec.payload import read_pyramid, write_pyramid
from fieldpack.program.weights import QuantizedTensor


def example(size=(20, 30)):
    """A prior's networks and latents for a picture of `size`."""
    networks = prior.load_prior(prior.SHIPPED)[0]
    random = np.random.default_rng(0)
    latents = [
        np.rint(random.laplace(0, 1, [-(-n >> k) for n in size])).astype(np.int32)
        for k in range(networks.shape.grids)
    ]
    return networks, latents


def test_the_shipped_file_is_what_its_checksum_says(monkeypatch):
    sets = prior.load_prior(prior.SHIPPED)
    assert [s.index for s in sets] == list(range(len(sets)))
    assert all(np.isfinite(s.parameters).all() for s in sets)
    prior.load_prior.cache_clear()
    monkeypatch.setitem(prior._SHA256, prior.SHIPPED, "0" * 64)
    with pytest.raises(FieldpackError, match="damaged"):
        prior.load_prior(prior.SHIPPED)


@pytest.mark.parametrize("changed", [(), (0,), (2,), (0, 3, 7)])
def test_networks_and_latents_return(changed):
    networks, latents = example()
    tensors = list(Networks.of_prior(networks).tensors)
    random = np.random.default_rng(1)
    for group in changed:
        for i in tensor_groups(networks.shape)[group]:
            symbols = random.integers(-3, 4, tensors[i].symbols.shape).astype(np.int32)
            tensors[i] = QuantizedTensor(symbols, 2.0**-7)
    coded = Networks(networks.shape, tuple(tensors), networks)
    payload, _ = write_pyramid(coded, latents, 20, 30)
    pyramid = read_pyramid(payload, 3, 20, 30)
    np.testing.assert_array_equal(pyramid.parameters, coded.parameters)
    assert (pyramid.parameters == networks.parameters).all() == (not changed)
    for decoded, grid in zip(pyramid.latents, latents, strict=True):
        np.testing.assert_array_equal(decoded, grid)


def test_networks_as_they_are_take_four_bytes():
    networks, latents = example()
    payload, _ = write_pyramid(Networks.of_prior(networks), latents, 20, 30)
    assert read_pyramid(payload, 3, 20, 30).network_bytes == 4


def test_an_unknown_prior_or_set_is_named():
    networks, latents = example()
    payload, _ = write_pyramid(Networks.of_prior(networks), latents, 20, 30)
    assert payload[0] == 8
    with pytest.raises(FormatError, match="needs prior 9"):
        read_pyramid(bytes([16]) + payload[1:], 3, 20, 30)
    with pytest.raises(FormatError, match="no networks number 200"):
        read_pyramid(bytes([8, 200]) + payload[2:], 3, 20, 30)
    with pytest.raises(FormatError, match="another number of channels"):
        read_pyramid(payload, 1, 20, 30)
    with pytest.raises(FormatError):
        read_pyramid(payload[:3], 3, 20, 30)


def test_pictures_unlike_its_own_do_without():
    grey = fieldpack.encode(smooth_samples(20, 30, 1)[:, :, 0], effort=1)
    assert fieldpack.open(grey).info["pyramid"]["prior"] is None


def test_the_finest_steps_build_on_it_too():
    picture = smooth_samples(60, 90)
    data = fieldpack.encode(picture, effort=1, lambda_=1e-6)
    assert fieldpack.open(data).info["pyramid"]["prior"] == prior.SHIPPED
    assert len(data) < len(fieldpack.encode(picture, effort=1, lambda_=1e-6, use_prior=False))
