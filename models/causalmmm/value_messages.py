"""Messages that are functions of values, not of hidden states (Gong et al. 2024, equation 1).

h_ij^t = f_edge([x_i^t, x_j^t]),  MSG_j^t = sum_i z_ij h_ij^t. A hidden state of i holds what others told i before, so
that messages of hidden states reach j along paths that z declares absent; values do not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ValueMessages(nn.Module):
    """f_edge with one hidden layer, evaluated for all shops, periods and pairs at once.

    Its first layer is a sum of a source's and a target's term; its last one is linear and so commutes with the sum over
    sources.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.source = nn.Linear(1, hidden)
        self.target = nn.Linear(1, hidden, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)

    def forward(self, values: Tensor, gates: Tensor) -> Tensor:
        """values (N, T, D), gates (N, D, D) -> messages (N, T, D, hidden)."""
        sender = self.source(values.unsqueeze(-1))  # (N, T, D, H)
        receiver = self.target(values.unsqueeze(-1))
        pairs = F.relu(sender.unsqueeze(3) + receiver.unsqueeze(2))  # (N, T, source, target, H)
        return self.out(torch.einsum("nij,ntijh->ntjh", gates, pairs))
