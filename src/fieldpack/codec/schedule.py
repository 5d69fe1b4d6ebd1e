"""How training proceeds: temperature, noise and rates by progress."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What one training step uses.

    Attributes:
        hard: Hard rounding with straight-through gradients rather than soft rounding with noise.
        temperature: Of the soft rounding.
        noise: Half width of the uniform noise, in quantisation steps.
        latent_rate: Adam's step of the latents, in quantisation steps.
        network_rate: Step of the networks.
    """

    hard: bool
    temperature: float
    noise: float
    latent_rate: float
    network_rate: float


@dataclass(frozen=True)
class Schedule:
    """A training schedule; `at` gives the setting at a progress of 0 to 1.

    Attributes:
        temperature: At the start and at the end of soft rounding, falling geometrically.
        noise: Likewise, falling linearly.
        latent_rate: Largest and smallest, along a cosine.
        network_rate: Likewise.
        hard_part: The part of all steps, at the end, that rounds hard.
        hard_latent_rate: Largest latent rate there, falling to 0.
    """

    temperature: tuple[float, float] = (0.3, 0.15)
    noise: tuple[float, float] = (0.5, 0.5)
    latent_rate: tuple[float, float] = (0.2, 0.02)
    network_rate: tuple[float, float] = (0.01, 0.001)
    hard_part: float = 0.05
    hard_latent_rate: float = 0.02

    def at(self, progress: float) -> Setting:
        """Return the setting at a part of the training done."""
        soft_part = 1 - self.hard_part
        if progress >= soft_part:
            left = max(0.0, (1 - progress) / self.hard_part)
            return Setting(
                True, 0.1, 0.0, self.hard_latent_rate * left, self.network_rate[1] * left
            )
        done = progress / soft_part
        cosine = 0.5 + 0.5 * math.cos(math.pi * done)
        hot, cold = self.temperature
        return Setting(
            hard=False,
            temperature=hot * (cold / hot) ** done,
            noise=self.noise[0] + (self.noise[1] - self.noise[0]) * done,
            latent_rate=_between(self.latent_rate, cosine),
            network_rate=_between(self.network_rate, cosine),
        )


def _between(largest_and_smallest: tuple[float, float], part: float) -> float:
    largest, smallest = largest_and_smallest
    return smallest + (largest - smallest) * part
