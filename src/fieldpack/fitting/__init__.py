"""Fitting coordinate networks to signals."""

from fieldpack.fitting.fit import FitState, fit

__all__ = ["FitState", "fit"]
