"""Coordinate networks in PyTorch: encodings, networks, recipes and the training loop."""

from fieldpack.networks.encodings import ENCODINGS, Binary, Encoding, OneHot, Sinusoidal
from fieldpack.networks.gated import GatedNetwork, Gating, ReZero
from fieldpack.networks.network import Network, axis_coordinates, grid_coordinates, render
from fieldpack.networks.recipes import DEFAULT, NOTEBOOK, RECIPES, Recipe
from fieldpack.networks.samples import Batch, GridSamples, Samples, ScatteredSamples
from fieldpack.networks.training import Callback, History, TrainingState, train

__all__ = [
    "DEFAULT",
    "ENCODINGS",
    "NOTEBOOK",
    "RECIPES",
    "Batch",
    "Binary",
    "Callback",
    "Encoding",
    "GatedNetwork",
    "Gating",
    "GridSamples",
    "History",
    "Network",
    "OneHot",
    "ReZero",
    "Recipe",
    "Samples",
    "ScatteredSamples",
    "Sinusoidal",
    "TrainingState",
    "axis_coordinates",
    "grid_coordinates",
    "render",
    "train",
]
