"""Fitting coordinate networks to signals."""

from fieldpack.fitting.fit import FitReport, FitState, fit

__all__ = ["FitReport", "FitState", "fit"]
