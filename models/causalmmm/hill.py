"""The saturation response of the outcome: an S-curve whose shape the context decides (Gong et al. 2024, section 3.2.2).

f = softplus(u + shift) >= 0,   mu = offset + scale * f^a / (f^a + g^a),   a = f_alpha(c) > 0, g = f_gamma(c) > 0

The published curve lies in (0, 1), is undefined for f < 0 and has g without the power; a scale, an offset, softplus and
g^a mend that. It begins close to a straight line over the range of a standardised outcome.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SMALLEST = 0.05  # of a and g
_SHIFT, _HALF = 4.0, 12.0


def _inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))


class HillResponse(nn.Module):
    """Hill curve of a linear response u (..., T); a and g read the first C columns of the context (..., T, >= C)."""

    def __init__(self, contexts: int) -> None:
        super().__init__()
        self.shape = nn.Linear(max(contexts, 1), 2)
        nn.init.zeros_(self.shape.weight)
        with torch.no_grad():
            self.shape.bias.copy_(
                torch.tensor([_inverse_softplus(1 - _SMALLEST), _inverse_softplus(_HALF - _SMALLEST)])
            )
        slope = _HALF / (_HALF + _SHIFT) ** 2  # of f / (f + g) where u = 0
        self.shift = nn.Parameter(torch.tensor(_SHIFT))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(slope)))
        self.offset = nn.Parameter(torch.tensor(-_SHIFT / (_SHIFT + _HALF) / slope))
        self.contexts = contexts

    def curve(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Exponent a and half-saturation g, (..., T)."""
        given = context[..., : self.contexts] if self.contexts else context.new_zeros(*context.shape[:-1], 1)
        a, g = F.softplus(self.shape(given)).unbind(-1)
        return a + _SMALLEST, g + _SMALLEST

    def forward(self, linear: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and its slope in `linear`, both like linear."""
        a, g = self.curve(context)
        f = F.softplus(linear + self.shift).clamp_min(1e-6)
        share = torch.sigmoid(a * (f.log() - g.log()))  # f^a / (f^a + g^a) without overflow
        scale = self.log_scale.exp()
        slope = scale * share * (1 - share) * a / f * torch.sigmoid(linear + self.shift)
        return self.offset + scale * share, slope
