"""Coordinate networks in PyTorch: encodings, networks, recipes and the training loop."""

from fieldpack.networks.catalogue import NETWORKS, Choice, suited
from fieldpack.networks.choosing import Trial, choose
from fieldpack.networks.derivatives import gradients, laplacians
from fieldpack.networks.encodings import ENCODINGS, Binary, Encoding, OneHot, Sinusoidal
from fieldpack.networks.finer import Finer
from fieldpack.networks.fourier import FourierNetwork
from fieldpack.networks.gated import GatedNetwork, Gating, ReZero
from fieldpack.networks.hashgrid import HashGridNetwork
from fieldpack.networks.multiplicative import MultiplicativeNetwork
from fieldpack.networks.network import Network, axis_coordinates, grid_coordinates, render
from fieldpack.networks.objectives import GRADIENTS, LAPLACIANS, VALUES, Objective
from fieldpack.networks.recipes import DEFAULT, NOTEBOOK, RECIPES, Recipe
from fieldpack.networks.samples import Batch, GridSamples, Samples, ScatteredSamples
from fieldpack.networks.siren import Siren
from fieldpack.networks.spectrum import typical_frequency
from fieldpack.networks.training import Callback, History, TrainingState, train
from fieldpack.networks.wire import Wire

__all__ = [
    "DEFAULT",
    "ENCODINGS",
    "GRADIENTS",
    "LAPLACIANS",
    "NETWORKS",
    "NOTEBOOK",
    "RECIPES",
    "VALUES",
    "Batch",
    "Binary",
    "Callback",
    "Choice",
    "Encoding",
    "Finer",
    "FourierNetwork",
    "GatedNetwork",
    "Gating",
    "GridSamples",
    "HashGridNetwork",
    "History",
    "MultiplicativeNetwork",
    "Network",
    "Objective",
    "OneHot",
    "ReZero",
    "Recipe",
    "Samples",
    "ScatteredSamples",
    "Sinusoidal",
    "Siren",
    "TrainingState",
    "Trial",
    "Wire",
    "axis_coordinates",
    "choose",
    "gradients",
    "grid_coordinates",
    "laplacians",
    "render",
    "suited",
    "train",
    "typical_frequency",
]
