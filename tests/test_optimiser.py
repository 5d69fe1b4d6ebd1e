"""The engine's SOAP against the same steps in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fieldpack._engine import Soap
from fieldpack.codec.model import ModelShape
from fieldpack.codec.optimiser import blocks_of, context_optimiser, drawing_optimiser

BETA1, BETA2 = 0.8, 0.9


def turned(covariance: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return np.linalg.qr(covariance @ basis)[0]


class Reference:
    """One matrix [outputs, inputs + 1]; the basis begins as the covariance's eigenvectors."""

    def __init__(self) -> None:
        self.steps = 0
        self.left = self.right = self.mean = self.square = np.zeros(())

    def step(self, g: np.ndarray) -> np.ndarray:
        """Returns the direction of the step."""
        self.steps += 1
        self.left = BETA2 * self.left + (1 - BETA2) * g @ g.T
        self.right = BETA2 * self.right + (1 - BETA2) * g.T @ g
        if self.steps == 1:
            self.left_basis = np.linalg.eigh(self.left)[1][:, ::-1]
            self.right_basis = np.linalg.eigh(self.right)[1][:, ::-1]
        else:
            self.left_basis = turned(self.left, self.left_basis)
            self.right_basis = turned(self.right, self.right_basis)
        rotated = self.left_basis.T @ g @ self.right_basis
        self.mean = BETA1 * self.mean + (1 - BETA1) * g
        self.square = BETA2 * self.square + (1 - BETA2) * rotated**2
        correction = np.sqrt(1 - BETA2**self.steps) / (1 - BETA1**self.steps)
        if self.steps == 1:
            return np.zeros_like(g)
        mean = self.left_basis.T @ self.mean @ self.right_basis
        direction = np.clip(correction * mean / (np.sqrt(self.square) + 1e-15), -3, 3)
        return self.left_basis @ direction @ self.right_basis.T


def test_steps_are_those_of_the_reference():
    random = np.random.default_rng(0)
    # Square with its biases, and with distinct singular values: the first basis is well defined.
    outputs, inputs = 4, 3
    scales = np.outer(2.0 ** -np.arange(4), 3.0 ** -np.arange(4))
    soap, reference = Soap([(2, outputs, inputs, 15)], BETA1, BETA2), Reference()
    parameters = random.normal(size=20).astype(np.float32)
    before = parameters.copy()
    expected = np.zeros((outputs, inputs + 1))
    for _ in range(6):
        g = (random.normal(size=scales.shape) * scales).astype(np.float32)
        gradient = np.ones(20, np.float32)
        gradient[2:14], gradient[15:19] = g[:, :inputs].ravel(), g[:, inputs]
        soap.step(parameters, gradient, 0.01)
        expected -= 0.01 * reference.step(g.astype(np.float64))
        moved = parameters - before
        np.testing.assert_allclose(moved[2:14].reshape(4, 3), expected[:, :3], atol=2e-4)
        np.testing.assert_allclose(moved[15:19], expected[:, 3], atol=2e-4)
        assert moved[[0, 1, 14, 19]].tolist() == [0, 0, 0, 0]


def test_finds_the_minimum_of_a_narrow_valley():
    random = np.random.default_rng(1)
    left, right = random.normal(size=(6, 6)), random.normal(size=(5, 5))
    left[:, 0] *= 30
    target = random.normal(size=(6, 5)).astype(np.float32)
    parameters = np.zeros(30, np.float32)
    soap = Soap([(0, 6, 5, -1)], BETA1, BETA2)
    for step in range(400):
        error = left.T @ (parameters.reshape(6, 5) - target) @ right
        gradient = (left @ error @ right.T).astype(np.float32).ravel()
        soap.step(parameters, gradient, 0.05 * (1 - step / 400))
    assert np.abs(parameters.reshape(6, 5) - target).max() < 0.02


def test_no_gradient_no_step():
    parameters = np.ones(6, np.float32)
    soap = Soap([(0, 2, 2, 4)], BETA1, BETA2)
    for _ in range(3):
        soap.step(parameters, np.zeros(6, np.float32), 1.0)
    assert parameters.tolist() == [1] * 6


def test_only_the_chosen_contexts_move():
    shape = ModelShape(3, 4, (8,), 1, 8, (8,), (0, 1, 2, 3))
    for moving in ({0, 1}, {1, 3}, set()):
        drawing = drawing_optimiser(shape, (BETA1, BETA2))
        contexts = context_optimiser(shape, (BETA1, BETA2), moving)
        parameters = np.zeros(shape.parameters, np.float32)
        gradient = np.ones_like(parameters)
        contexts.step(parameters, gradient, 0.1)
        contexts.step(parameters, gradient, 0.1)
        views = shape.views(parameters)
        moved = {name for name, tensor in views.items() if tensor.any()}
        of_moving = {n for n in views if any(n.startswith(f"context{i}.") for i in moving)}
        assert moved == of_moving
        drawing.step(parameters, gradient, 0.1)
        drawing.step(parameters, gradient, 0.1)
        moved = {name for name, tensor in views.items() if tensor.any()}
        assert moved == of_moving | {
            name for name, view in views.items() if view.size and not name.startswith("context")
        }


@pytest.mark.parametrize("block", [(-1, 2, 2, -1), (0, 0, 2, -1), (0, 2, 2000, -1), (0, 2, 2, -2)])
def test_refuses_odd_blocks(block: tuple[int, int, int, int]):
    with pytest.raises(ValueError, match="block"):
        Soap([block], BETA1, BETA2)


def test_refuses_short_vectors():
    soap = Soap(blocks_of([("a.weight", (2, 3)), ("a.bias", (2,))]), BETA1, BETA2)
    with pytest.raises(ValueError, match="length"):
        soap.step(np.zeros(7, np.float32), np.zeros(7, np.float32), 0.1)
