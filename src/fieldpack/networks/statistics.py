"""The statistics with which batch norms work once training is over."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from fieldpack.networks.samples import Batch


@torch.no_grad()
def average_statistics(network: nn.Module, batches: Iterable[Batch]) -> None:
    """Measure the means and variances of all batch norms with the present weights.

    During training they are running averages, over steps whose weights were others. Here they
    become plain averages over `batches`. The network must be in training mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches since the reset
    for batch in batches:
        network(*batch.coordinates)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def settle_constants(network: nn.Module) -> None:
    """Give the channels that never vary a variance of 1.

    Dividing by their measured variance would only magnify rounding errors, 300 times a norm.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
            module.running_var[module.running_var < 1e-10] = 1.0
