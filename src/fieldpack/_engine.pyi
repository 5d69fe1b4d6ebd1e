from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float32]

class Trainer:
    def __init__(
        self,
        image: _Array,
        weights: _Array | None,
        *,
        grids: int,
        synthesis: Sequence[int],
        convolutions: int,
        neighbours: Sequence[tuple[int, int]],
        context: Sequence[int],
        context_set_of: Sequence[int],
        threads: int,
    ) -> None: ...
    @property
    def parameters(self) -> int: ...
    @property
    def threads(self) -> int: ...
    def step(
        self,
        parameters: _Array,
        gradient: _Array,
        *,
        hard: bool = False,
        temperature: float = 0.3,
        noise: float = 0.25,
        lambda_: float,
        seed: int = 0,
        step: int = 0,
        update: bool = True,
        learning_rate: Sequence[float] = (),
        beta1: float = 0.8,
        beta2: float = 0.95,
        epsilon: float = 1e-12,
    ) -> dict[str, Any]: ...
    def evaluate(
        self,
        parameters: _Array,
        *,
        hard: bool = True,
        temperature: float = 0.3,
        noise: float = 0.0,
        lambda_: float = 0.0,
        seed: int = 0,
        step: int = 0,
    ) -> dict[str, Any]: ...
    def latents(self, grid: int) -> _Array: ...
    def set_latents(self, grid: int, values: _Array) -> None: ...
    def quantised(self, grid: int) -> _Array: ...
    def quantised_gradient(self, grid: int) -> _Array: ...
    def slope(self, grid: int) -> _Array: ...
    def reset_moments(self) -> None: ...

def instruction_set() -> str: ...
