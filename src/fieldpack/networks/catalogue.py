"""The networks by name, and the settings that suit a signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fieldpack.errors import RequestError
from fieldpack.networks.finer import Finer
from fieldpack.networks.fourier import FourierNetwork
from fieldpack.networks.gated import GatedNetwork
from fieldpack.networks.hashgrid import HashGridNetwork
from fieldpack.networks.multiplicative import MultiplicativeNetwork
from fieldpack.networks.network import Network
from fieldpack.networks.recipes import DEFAULT, Recipe
from fieldpack.networks.samples import Samples
from fieldpack.networks.siren import Siren
from fieldpack.networks.spectrum import typical_frequency
from fieldpack.networks.wire import Wire

NETWORKS: dict[str, type[Network]] = {
    "gated": GatedNetwork,
    "siren": Siren,
    "fourier": FourierNetwork,
    "wire": Wire,
    "finer": Finer,
    "multiplicative": MultiplicativeNetwork,
    "hashgrid": HashGridNetwork,
}

Setting = int | float | str


@dataclass(frozen=True)
class Choice:
    """A network and how to train it.

    Attributes:
        network: Its name in `NETWORKS`.
        rate: Largest learning rate of the default recipe.
        settings: Arguments of its class beside the positions, channels and the seed.
    """

    network: str
    rate: float
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The default recipe at this network's rate."""
        return replace(DEFAULT, rate=self.rate)

    def build(self, positions: Sequence[int], channels: int, seed: int) -> Network:
        """Make the network with random weights.

        Raises:
            RequestError: A setting is unknown, or out of range.
        """
        make: Callable[..., Network] = NETWORKS[self.network]
        try:
            return make(positions, channels, seed=seed, **self.settings)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            shown = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
            raise RequestError(f"{self.network} cannot be made with {shown}: {error}") from None

    def with_settings(self, settings: Mapping[str, Setting]) -> Choice:
        """Return the choice with some settings replaced."""
        return replace(self, settings={**self.settings, **settings})


def suited(
    network: str, samples: Samples, positions: Sequence[int], *, detail: float = 1.0
) -> Choice:
    """Return the settings of a network that suit a signal.

    The size follows the number of samples. Frequencies follow how alike neighbouring samples are
    (`typical_frequency`), with factors found on photographs.

    Args:
        network: Its name in `NETWORKS`.
        samples: The signal.
        positions: Positions on each axis, x first.
        detail: Factor of the frequencies.

    Raises:
        RequestError: There is no such network.
    """
    if network not in NETWORKS:
        raise RequestError(f"there is no network {network!r}; known: {', '.join(NETWORKS)}, auto")
    if network == "gated":
        return Choice(network, DEFAULT.rate)
    frequency = detail * typical_frequency(samples, positions)
    width = _width(samples.count * samples.channels)
    waves = frequency * math.sqrt(samples.axes)

    def bent(knee: float, power: float) -> float:
        """`waves`, growing more slowly beyond the knee."""
        # Later layers multiply the first one's frequencies. What has several axes, such as a
        # picture, has most of its power far below its finest detail; a sound may be one high tone.
        whole = waves / detail
        bends = samples.axes > 1 and whole > knee
        return waves * (knee / whole) ** (1 - power) if bends else waves

    match network:
        # A step of the optimiser moves weights by a share of the rate, whatever their size, and
        # those of a SIREN are smaller where there are more.
        case "siren":
            return Choice(network, 0.27 / width, {"width": width, "first_omega": bent(45, 0.5)})
        case "finer":
            return Choice(network, 0.17 / width, {"width": width, "first_omega": bent(22, 0.3)})
        case "wire":
            omega = min(max(1.6 * math.sqrt(frequency), 4.0), 10.0)
            complex_width = round(width / math.sqrt(2))
            return Choice(
                network,
                0.006,
                {
                    "width": complex_width,
                    "omega": omega,
                    "scale": omega,
                    "first_omega": max(omega, waves / 4),
                },
            )
        case "fourier":
            scale = frequency / (2 * math.pi)
            return Choice(network, 0.015, {"width": width, "features": width, "scale": scale})
        case "multiplicative":
            return Choice(network, 0.01, {"width": width, "scale": 4 * frequency})
        case _:
            coarsest = min(max(max(positions) // 4, 2), 8)
            finest = max(coarsest, round(detail * max(positions) / 2))
            # Each grid about half as fine again as the one before.
            levels = 2 + round(math.log(finest / coarsest, 1.5))
            entries = 1 << min(max(round(math.log2(samples.count)) - 4, 9), 16)
            settings = {"levels": levels, "coarsest": coarsest, "finest": finest}
            return Choice(network, 0.015, {**settings, "entries": entries})


def _width(values: int) -> int:
    """Channels of three square layers with about half as many weights as there are values."""
    return int(min(max(math.sqrt(values / 6), 64), 256)) // 8 * 8
