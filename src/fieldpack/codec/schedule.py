"""How the settings of training move from the first pass to the last."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fieldpack.codec.prior import PriorNetworks

_LEAST_ANALYSED_LAMBDA = 2e-5
_FEWEST_FOR_NETWORKS = 35  # passes
_MANY_STEPS = 250
_SHORTEST_WARM_UP = 16  # passes
_LEAST_CONTEXT_BITS = 45.0
_MOST_WITHOUT_CONTEXTS = 40  # passes
# Of the passes: flat sets have larger context models, and a pass takes longer; but all the sets for
# few pixels have the same.
_FLAT_SHARE = 0.7


@dataclass(frozen=True)
class Settings:
    """Settings of one pass.

    Rounding is soft at `temperature` with uniform noise of half width `noise` (in quantisation
    steps), or plain when `hard`; `latent_rate` is the optimiser's step in quantisation steps,
    `network_rate` that of the network weights.
    """

    hard: bool
    temperature: float
    noise: float
    latent_rate: float
    network_rate: float


@dataclass(frozen=True)
class Schedule:
    """Soft rounding while step sizes fall along half a cosine, then a few passes of hard rounding.

    Training begins near additive uniform noise of a whole quantisation step (temperature 1) and
    ends near rounding; the noise shrinks only towards the end. Less noise or a lower temperature
    early freezes latents where they are: the costliest mistake of all. The hard stage fits the
    networks to rounded latents and is kept short and its steps tiny: straight-through gradients
    have no noise to average over, so that larger or more steps carry neighbours over rounding
    thresholds together and the rate explodes.
    """

    passes: int
    # Passes over which the network's step size grows; without them some seeds fail.
    warm_up: int = 50
    hard_fraction: float = 0.02
    most_hard_passes: int = 50
    temperature: tuple[float, float] = (1.0, 0.1)
    noise: tuple[float, float] = (0.5, 0.3)
    latent_rate: tuple[float, float, float] = (0.22, 0.03, 0.002)  # first, last soft, first hard
    # The finest grid moves more slowly, or it takes up low frequencies before the coarser ones do.
    finest_share: float = 0.4
    latent_betas: tuple[float, float] = (0.6, 0.95)  # Adam's
    sharing: float = 0.85  # of a grid's mean square gradient, see Trainer.step
    analysed_start: bool = False  # of the latents, see initialisation.analyse; else they are zero
    # Where no prior says so: whether that start is flat, and which finer grids stay at zero.
    is_flat: bool = False
    finest: int = 0
    # Latents of fine grids begin closer to zero by so many quantisation steps, and most of them at
    # zero: training would take them there, but slowly.
    threshold: float = 0.5
    network_rate: tuple[float, float] = (0.02, 0.002)
    network_betas: tuple[float, float] = (0.95, 0.95)  # SOAP's
    # Shares of that rate: of the networks that draw the picture, and of the context models.
    drawing_share: float = 1.0
    context_share: float = 1.0
    # Context models begin to move after so many passes, and only those whose grids then take at
    # least so many bits for each of their weights.
    contexts_start: int = 0
    least_context_bits: float = 0.0

    @classmethod
    def of(cls, passes: int, lambda_: float, *, is_flat: bool = False, finest: int = 0) -> Schedule:
        """The schedule for a lambda and a number of passes; of a flat start, see `analyse`.

        The first steps have to be wide, or latents stay where they began, and the last ones fine,
        the more so the longer the training; then the finest grid can move as the others do.
        """
        cheapness = min(max(0.001 / lambda_, 1e-3), 1e3)
        rate = 0.34 * cheapness ** (0.07 if cheapness > 1 else 0.15)
        rate *= max(passes / 100, 1.0) ** 0.1
        share = min(max(0.4 * cheapness**0.4, 0.25), 1.0) * min(250 / passes, 1.0) ** 0.3
        patience = min(max(math.log2(passes / 1000) / 2, 0.0), 1.0)
        # The finer the steps, the more an overcomplete pyramid of the whole picture costs.
        analysed = is_flat or lambda_ >= _LEAST_ANALYSED_LAMBDA

        def between(short: float, long: float) -> float:
            return short + patience * (long - short)

        return cls(
            passes,
            warm_up=min(round(between(50, 200)), max(_SHORTEST_WARM_UP, passes // 5)),
            latent_rate=(rate, 0.004 * min(400 / passes, 1.0) ** 0.5, 0.0005),
            finest_share=between(share, 1.0),
            analysed_start=analysed,
            is_flat=is_flat,
            finest=finest,
            # Where the picture is there from the start, what is slow are the context models.
            drawing_share=between(0.2, 1.0) if analysed else 1.0,
            context_share=between(2.0, 1.0) if analysed else 1.0,
        )

    @classmethod
    def with_prior(cls, passes: int, lambda_: float, *, moves: bool = True) -> Schedule:
        """The schedule of a fit that begins with a prior's networks.

        Networks that move must be stored: the shortest fits leave all as they are, others the
        context models of grids that have few bits to save. Unless `moves`, all stay as they are.
        """
        drawing, context, dear = 0.0, 0.0, 0.004
        if passes >= _FEWEST_FOR_NETWORKS:
            dear = 0.015
            if moves:
                drawing, context = 0.45, 0.75
        return replace(
            cls.of(passes, lambda_),
            noise=(0.4, 0.3),
            # The dearer a bit and the shorter the fit, the more there is that it cannot pay.
            threshold=0.5 * min(math.sqrt(max(lambda_ / dear, 1.0)), 6.0),
            drawing_share=drawing,
            context_share=context,
            # A short fit has few steps to average over.
            network_betas=(0.8, 0.9) if passes < _MANY_STEPS else (0.9, 0.95),
            contexts_start=min(passes // 10, _MOST_WITHOUT_CONTEXTS),
            least_context_bits=_LEAST_CONTEXT_BITS,
        )

    @property
    def moves_networks(self) -> bool:
        """Whether the networks learn at all."""
        return self.drawing_share > 0 or self.context_share > 0

    def shares(self, grids: int) -> list[float]:
        """Each grid's share of the latents' step size."""
        return [self.finest_share, *[1.0] * (grids - 1)]

    @property
    def soft_passes(self) -> int:
        """How many passes round softly."""
        return self.passes - min(int(self.passes * self.hard_fraction), self.most_hard_passes)

    def at(self, step: int) -> Settings:
        """Settings of pass `step`, counted from 0."""
        soft = self.soft_passes
        first_network, last_network = self.network_rate
        first, last, hard = self.latent_rate
        if step >= soft:
            left = 1 - (step - soft) / max(1, self.passes - soft)
            return Settings(True, self.temperature[1], 0.0, hard * left, last_network * left)
        done = step / max(1, soft)
        falling = 0.5 * (1 + math.cos(math.pi * done))
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        start, end = self.temperature
        return Settings(
            False,
            start * (end / start) ** done,
            self.noise[0] + (self.noise[1] - self.noise[0]) * done**3,
            last + (first - last) * falling,
            (last_network + (first_network - last_network) * falling) * warm,
        )


def schedule_for(
    passes: int, lambda_: float, prior: PriorNetworks, *, moves: bool = True
) -> Schedule:
    """The schedule of a fit that takes the time of so many passes with a prior's usual networks.

    Args:
        passes: So many.
        lambda_: Loss of a bit a pixel.
        prior: The networks that it begins with.
        moves: Whether they may move at all.
    """
    if prior.is_flat and not prior.is_for_few_pixels:
        passes = round(_FLAT_SHARE * passes)
    if prior.finest:
        # Without the finest grid, a pass takes some two thirds of the time.
        passes += passes // 2
    return Schedule.with_prior(passes, equivalent_lambda(lambda_, prior.finest), moves=moves)


def equivalent_lambda(lambda_: float, finest: int) -> float:
    """The lambda with which latents in coarser grids are what those in grid 1 are with this one.

    Photographs are alike at all scales: it is that for which a smaller picture takes as many bits.

    Args:
        lambda_: Loss of one bit a pixel.
        finest: Grids finer than this one are left at zero.
    """
    return float(lambda_ / 4 ** max(finest - 1, 0))
