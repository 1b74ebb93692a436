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

    def state_after(self, inputs: Tensor) -> Tensor:
        """(1, N D, hidden) what is remembered after inputs (N, T, D, inputs)."""
        return self.forward(inputs)[:, -1].flatten(0, 1).unsqueeze(0)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One period on: inputs (N, 1, D, inputs), state (1, N D, hidden) -> (N, 1, D, hidden) and the next state."""
        shops, _, nodes, width = inputs.shape
        out, after = self.cell(inputs.reshape(shops * nodes, 1, width), state)
        return out.reshape(shops, 1, nodes, -1), after


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

    def state_after(self, inputs: Tensor) -> Tensor:
        """Nothing is remembered: (1, N D, 0)."""
        return inputs.new_zeros(1, inputs.shape[0] * inputs.shape[2], 0)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As GRUResponse.step; the state stays empty."""
        return self.layers(inputs), state


def temporal_response(kind: str, inputs: int, hidden: int) -> nn.Module:
    """The module named `kind`, one of TEMPORAL_MODULES."""
    return {"gru": GRUResponse, "markov": MarkovResponse}[kind](inputs, hidden)
