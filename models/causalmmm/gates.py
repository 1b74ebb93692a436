"""Edges as two-type latent variables: type 0 is silence, type 1 sends the message (Gong et al. 2024, section 3.1.3).

z_ij ~ Softmax((h_ij + g) / tau) with Gumbel noise g (Jang et al. 2017). The published formula has the bracket one term
early. Values are hard, 0 or 1 exactly, and gradients are the soft sample's (straight through): a soft z of .05 would
leak a twentieth of every message and Claim 1 would not hold.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def hard_gates(logits: Tensor, allowed: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One hard draw of every edge.

    logits : (..., D, D) log odds that source i (row) sends to target j (column)
    allowed : (D, D) bool; edges that are not allowed are 0 whatever their logit
    temperature : > 0, of the soft sample that gradients pass through
    returns (..., D, D), each 0.0 or 1.0
    """
    uniform = torch.rand(logits.shape, generator=generator, dtype=logits.dtype).clamp(1e-6, 1 - 1e-6)
    logistic = torch.log(uniform) - torch.log1p(-uniform)  # difference of two Gumbel draws
    soft = torch.sigmoid((logits + logistic) / temperature)
    hard = (soft > 0.5).to(logits.dtype)
    return (hard + (soft - soft.detach())) * allowed.to(logits.dtype)


def likely_gates(logits: Tensor, allowed: Tensor) -> Tensor:
    """Edges whose probability exceeds a half, (..., D, D) of 0.0 and 1.0."""
    return ((logits > 0) & allowed).to(logits.dtype)


def edge_divergence(logits: Tensor, allowed: Tensor, prior: float) -> Tensor:
    """KL[q(z) || p(z)] in nats summed over the allowed edges, (...,); p is Bernoulli(`prior`) for every edge."""
    probability = torch.sigmoid(logits)
    divergence = probability * (F.logsigmoid(logits) - math.log(prior)) + (1 - probability) * (
        F.logsigmoid(-logits) - math.log1p(-prior)
    )
    return (divergence * allowed.to(logits.dtype)).sum((-2, -1))
