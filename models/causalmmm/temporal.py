"""The temporal marketing response: f_seq of messages and a node's own value (Gong et al. 2024, section 3.2.1)."""

from __future__ import annotations

from torch import Tensor, nn

TEMPORAL_MODULES = ("gru", "markov")


class GRUResponse(nn.Module):
    """A gated recurrent unit over [MSG_j^t, x_j^t], one for all nodes, whose state is the node's alone."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, T, D, inputs) -> states (N, T, D, hidden); the state at t knows the inputs up to t."""
        shops, periods, nodes, width = inputs.shape
        rows = inputs.transpose(1, 2).reshape(shops * nodes, periods, width)
        return self.cell(rows)[0].reshape(shops, nodes, periods, -1).transpose(1, 2)


class MarkovResponse(nn.Module):
    """CM-markov: an MLP of the last period's inputs, without memory."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.Tanh()
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, T, D, inputs) -> (N, T, D, hidden)."""
        return self.layers(inputs)


def temporal_response(kind: str, inputs: int, hidden: int) -> nn.Module:
    """The module named `kind`, one of TEMPORAL_MODULES."""
    return {"gru": GRUResponse, "markov": MarkovResponse}[kind](inputs, hidden)
