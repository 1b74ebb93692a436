"""Proximal gradient descent with a group lasso, for many small networks at once that do not touch one another.

Every network has a step of its own: where its objective did not fall it goes back and halves the step, so that none
diverges and no network's trouble reaches another (iterative soft thresholding with backtracking; Tank et al., TPAMI
2022, section 4, descend with one fixed step).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[str], None]


def descend(
    weights: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    penalty: float,
    learning_rate: float,
    steps: int,
    progress: Progress | None = None,
    name: str = "network",
) -> list[Tensor]:
    """Lower loss + penalty x sum of the norms of every source's weights; the best weights found, without gradients.

    weights: each (N, D, ...) [shop, target]; the first (N, D, D, ...) [shop, target, source], whose last axes are the
    groups. loss: from weights to (N, D), each entry of its own network alone. learning_rate: the first step.
    """
    import torch

    kept = [one.clone() for one in weights]
    slopes = [torch.zeros_like(one) for one in kept]
    shape = kept[0].shape[:2]
    lowest = torch.full(shape, torch.inf)
    rate = torch.full(shape, learning_rate)
    trial = kept
    for step in range(steps + 1):
        trial = [one.detach().requires_grad_() for one in trial]
        smooth = loss(trial)
        gradients = torch.autograd.grad(smooth.sum(), trial)
        with torch.no_grad():
            objective = smooth + penalty * _norms(trial[0]).sum(-1)
            better = objective <= lowest  # false for nan
            lowest = torch.where(better, objective, lowest)
            rate = torch.where(better, rate * 1.05, rate / 2)
            kept = [torch.where(_like(better, old), new, old) for new, old in zip(trial, kept, strict=True)]
            slopes = [
                torch.where(_like(better, old), new, old) for new, old in zip(gradients, slopes, strict=True)
            ]
            trial = [one - _like(rate, one) * slope for one, slope in zip(kept, slopes, strict=True)]
            shrunk = torch.clamp(1 - rate[..., None] * penalty / _norms(trial[0]).clamp_min(1e-12), min=0.0)
            trial[0] = trial[0] * _like(shrunk, trial[0])
        if progress and step and step % 100 == 0:
            progress(f"{name} step {step} of {steps}: objective {float(lowest.mean()):.4f}")
    return kept


def source_norms(first: Tensor) -> Tensor:
    """(N, D, D) [shop, source, target] from weights (N, D, D, ...) [shop, target, source, ...]."""
    return _norms(first).transpose(1, 2)


def _norms(first: Tensor) -> Tensor:
    return first.flatten(3).norm(dim=-1)


def _like(values: Tensor, other: Tensor) -> Tensor:
    return values.reshape(values.shape + (1,) * (other.dim() - values.dim()))
