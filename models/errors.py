"""Errors a caller of models/ may want to tell apart.

Every message says what was found, why it is wrong, and what to do next.
"""

from __future__ import annotations


class PanelError(ValueError):
    """The data handed over break what the panel promises: gaps, duplicates, unknown or non-finite values."""


class NotFittedError(RuntimeError):
    """A result was asked of a model that has not been fitted, or whose saved folder is incomplete."""


class ConvergenceError(RuntimeError):
    """An optimiser or sampler did not reach a usable state; its results must not be published."""


class OverlapError(ValueError):
    """Treated and untreated rows are not comparable: no support in common for the effect that was asked."""


class GraphError(ValueError):
    """The causal graph contradicts itself or names what it does not hold."""


class NotIdentifiedError(ValueError):
    """The graph and what is observed do not determine the effect asked for; the message names the open path."""
