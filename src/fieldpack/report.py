"""How a fit went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FitReport:
    """How a fit went.

    Attributes:
        network: Name of the network.
        settings: What of its settings was chosen for the signal.
        recipe: Name of the recipe.
        steps: Steps done.
        seconds: Seconds of choosing and training, callbacks included.
        loss: Mean of the last 100 losses.
        stopped: "steps", "seconds", "callback" or "interrupt".
        weights: Trainable weights of the network.
    """

    network: str
    settings: Mapping[str, int | float | str]
    recipe: str
    steps: int
    seconds: float
    loss: float
    stopped: str
    weights: int
