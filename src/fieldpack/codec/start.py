"""With which of a prior's networks, and which lambda, the fit of a picture begins."""

from __future__ import annotations

from fieldpack.codec.choice import best_networks
from fieldpack.codec.goal import Forecast, Goal
from fieldpack.codec.model import FloatArray
from fieldpack.codec.prior import PriorNetworks, nearest_networks
from fieldpack.codec.trial import Trials

# Below, there may be PSNRs that are out of reach without the finest grid.
_LEAST_COARSE_LAMBDA = 0.0015
# Trials begin again with a lambda that is farther off, as a ratio; so does the choice of networks.
_NEAR, _NEAR_ENOUGH_FOR_NETWORKS, _MOST_TRIALS = 1.4, 1.5, 3
# Before shorter fits, whether latents should be flat is tried for one lambda only.
_FEWEST_FOR_FLAT_AGAIN = 35


def start_for(trials: Trials, lambda_: float, passes: int) -> PriorNetworks | None:
    """Return the networks for a lambda that suit a picture; None where no prior has any.

    Args:
        trials: Of the picture.
        lambda_: Loss of a bit a pixel.
        passes: Of the fit.
    """
    candidates = nearest_networks(lambda_, trials.part.shape[2], trials.pixels)
    return best_networks(trials, candidates, lambda_, passes) if candidates else None


class StartTowards:
    """A first lambda with which a fit should come near a goal, and the networks for it.

    Args:
        image: (H, W, C) float32 in [0, 1].
        goal: What to come to.
        trials: Of the picture.
        passes: Of the fit.
        use_prior: Whether there may be networks at all.

    Attributes:
        lambda_: The first.
        networks: None to do without.
    """

    def __init__(
        self, image: FloatArray, goal: Goal, trials: Trials, passes: int, *, use_prior: bool
    ) -> None:
        self._goal, self._trials, self._passes = goal, trials, passes
        forecast = Forecast(image, trials.part, goal, passes)
        self._is_flat: bool | None = None  # what suits the latents, once that was tried
        self.lambda_ = self._chosen_for = forecast.first_lambda()
        self.networks = self._chosen() if use_prior else None
        for _ in range(_MOST_TRIALS):
            if self.networks is None:
                break
            trial = trials.of_networks(self.networks, self.lambda_, passes)
            forecast.learn(self.lambda_, trial.bits, trial.distortion)
            before = self.lambda_
            is_same = not self.move_to(forecast.first_lambda())
            if is_same and _ratio(self.lambda_, before) < _NEAR:
                break
        if self.networks is not None and goal.psnr and trials.may_move(passes):
            trial = trials.of_moving_networks(self.networks, self.lambda_)
            forecast.learn_from_moving(self.lambda_, trial.distortion)
            self.move_to(forecast.first_lambda())

    def move_to(self, lambda_: float) -> bool:
        """Begin with another lambda; return whether the networks were chosen again for it."""
        self.lambda_ = lambda_
        if self.networks is None or self._suits():
            return False
        self.networks, self._chosen_for = self._chosen(), lambda_
        return True

    def _chosen(self) -> PriorNetworks | None:
        candidates = nearest_networks(self.lambda_, self._trials.part.shape[2], self._trials.pixels)
        candidates = [c for c in candidates if self.allows(c)]
        if not candidates:
            return None
        if self._passes < _FEWEST_FOR_FLAT_AGAIN and self._is_flat is not None:
            candidates = [c for c in candidates if c.is_flat == self._is_flat] or candidates
        wanted = self._goal.payload_bytes
        bits = 8 * wanted[1] / self._trials.pixels if wanted else None
        best = best_networks(self._trials, candidates, self.lambda_, self._passes, bits)
        if len({c.is_flat for c in candidates}) > 1:
            self._is_flat = best.is_flat
        return best

    def allows(self, networks: PriorNetworks) -> bool:
        """Whether the goal is in reach of networks."""
        # Lambda may end far from here, and some quality is out of reach without the finest grid.
        needs_finest = self._goal.psnr is not None and self.lambda_ < _LEAST_COARSE_LAMBDA
        return networks.finest == 0 or not needs_finest

    def _suits(self) -> bool:
        if self.networks is not None and not self.allows(self.networks):
            return False
        return _ratio(self.lambda_, self._chosen_for) < _NEAR_ENOUGH_FOR_NETWORKS


def _ratio(a: float, b: float) -> float:
    return max(a / b, b / a)
