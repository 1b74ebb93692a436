"""Errors of the response model that a caller may want to tell apart; each says what is wrong and what to do next."""

from __future__ import annotations


class GraphError(ValueError):
    """The causal graph contradicts itself or names what it does not hold."""


class NotIdentifiedError(ValueError):
    """The graph and what is observed do not determine the effect that was asked for; the message names the open path."""
