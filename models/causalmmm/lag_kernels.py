"""Edge-specific carry-over kernels with a Gaussian spike-and-slab posterior.

The linear response of target j in one shop is

    u_j^{t+1} = sum_i z_ij sum_{k=1..K} w_ijk x_i^{t+1-k} + sum_k w_jjk x_j^{t+1-k} + b_j c^{t+1} + a_j

with own lags, context and intercept always present. q(w_ij | z_ij = 1) = N(m, V s^2 V') against N(0, v I); with
z_ij = 0 the weights have no say and q is the prior, so that an absent edge pays no divergence and a present one pays
for each of its lags (spike and slab as in Titsias & Lazaro-Gredilla 2011). v is learned, one for edges, own lags and
context each. V holds the principal axes of the source's own lags: lags of one source resemble each other, and a
posterior that is independent by lag would pay for far more than is known. Weights are kept along these axes, where the
prior is the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def lagged_inputs(values: Tensor, context: Tensor, lags: int) -> Tensor:
    """Everything the linear response of period t + 1 reads, for t + 1 = lags .. T - 1.

    values (N, T, D), context (N, T, C) -> (N, T - lags, D * lags + C + 1): source-major lags (lag 1 first), the context
    of the period itself, and 1.
    """
    windows = values.unfold(1, lags, 1)[:, :-1].flip(-1)  # (N, T - lags, D, lags)
    return torch.cat([windows.flatten(2), context[:, lags:], values.new_ones(*windows.shape[:2], 1)], dim=-1)


def principal_axes(inputs: Tensor, nodes: int, lags: int) -> Tensor:
    """Axes V (N, D, K, K) of each source's lags, columns by rising variance, from inputs (N, T, P)."""
    windows = inputs[..., : nodes * lags].unflatten(-1, (nodes, lags))
    return torch.linalg.eigh(torch.einsum("ntdk,ntdl->ndkl", windows, windows).double())[1].to(inputs.dtype)


def along_axes(lagged: Tensor, axes: Tensor) -> Tensor:
    """V' of each source's block: lagged (n, ..., P) inputs, or weights with P in front moved last -> the same shape."""
    nodes, lags = axes.shape[1:3]
    blocks = lagged[..., : nodes * lags].unflatten(-1, (nodes, lags))
    turned = torch.einsum("n...dk,ndkl->n...dl", blocks, axes)
    return torch.cat([turned.flatten(-2), lagged[..., nodes * lags :]], -1)


class LagKernels(nn.Module):
    """Posterior of the weights of N shops: means and standard deviations (N, P, D), P = D * lags + C + 1.

    shared: let the prior have a mean that the shops have in common, learned with the rest; else it is 0.
    """

    def __init__(self, shops: int, nodes: int, contexts: int, lags: int, shared: bool) -> None:
        super().__init__()
        self.nodes, self.lags, self.contexts = nodes, lags, contexts
        weights = nodes * lags + contexts + 1
        self.register_buffer("axes", torch.eye(lags).repeat(shops, nodes, 1, 1))
        self.mean = nn.Parameter(torch.zeros(shops, weights, nodes))
        self.log_sd = nn.Parameter(torch.full((shops, weights, nodes), -3.0))
        self.prior_mean = nn.Parameter(
            torch.zeros(weights, nodes), requires_grad=shared
        )  # by lag, not by axis
        self.log_prior_variance = nn.Parameter(torch.tensor([-3.0, -3.0, -3.0]))  # edges, own lags, context
        diagonal = torch.eye(nodes).repeat_interleave(lags, 0)
        kinds = torch.cat([diagonal, torch.full((contexts + 1, nodes), 2.0)])
        self.register_buffer("kinds", kinds.long())  # (P, D) index into log_prior_variance

    def weight_gates(self, gates: Tensor) -> Tensor:
        """Edge gates (N, D, D) -> gates of every weight (N, P, D): own lags, context and intercept are always 1."""
        own = torch.eye(self.nodes, dtype=gates.dtype)
        lagged = torch.where(own.bool(), own, gates).repeat_interleave(self.lags, -2)
        rest = gates.new_ones(*gates.shape[:-2], self.contexts + 1, self.nodes)
        return torch.cat([lagged, rest], dim=-2)

    def edge_gates(self, gates: Tensor) -> Tensor:
        """Gates of the messages alone: edges between different nodes."""
        lagged = gates.repeat_interleave(self.lags, -2) * (self.kinds[: self.nodes * self.lags] == 0)
        return torch.cat([lagged, gates.new_zeros(*gates.shape[:-2], self.contexts + 1, self.nodes)], dim=-2)

    def prior_variance(self) -> Tensor:
        """(P, D), the same by lag and by axis."""
        return self.log_prior_variance.exp()[self.kinds]

    def by_lag(self, weights: Tensor, shops: Tensor) -> Tensor:
        """Weights (n, ..., P, D) along the axes -> by lag."""
        turned = along_axes(weights.transpose(-1, -2), self.axes[shops].mT)
        return turned.transpose(-1, -2)

    def divergences(self, shops: Tensor) -> tuple[Tensor, Tensor]:
        """KL[q(w | z = 1) || p(w)] in nats: of every edge (n, D, D), and of what is always present (n,)."""
        variance = self.prior_variance()
        log_sd, mean = self.log_sd[shops], self.mean[shops]
        if self.prior_mean.requires_grad:
            centre = self.prior_mean.T.expand(len(shops), -1, -1)
            mean = mean - along_axes(centre, self.axes[shops]).mT
        each = 0.5 * ((mean**2 + (2 * log_sd).exp()) / variance - 1 + variance.log()) - log_sd
        lagged = each[:, : self.nodes * self.lags].unflatten(1, (self.nodes, self.lags)).sum(2)
        own = torch.diagonal(lagged, dim1=1, dim2=2).sum(-1)
        edges = lagged * (1 - torch.eye(self.nodes, dtype=lagged.dtype))
        return edges, own + each[:, self.nodes * self.lags :].sum((1, 2))
