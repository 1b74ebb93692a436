"""What kernels say about their edges: mean lag and sign; and kernels given a graph, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from models.causalmmm.lag_kernels import LagKernels, lagged_inputs


def kernel_summary(kernels: LagKernels) -> tuple[np.ndarray, np.ndarray]:
    """Lag and sign (N, D, D) of trained kernels."""
    with torch.no_grad():
        everyone = torch.arange(len(kernels.mean))
        mean = kernels.by_lag(kernels.mean, everyone).double().numpy()
        total = kernels.axes.sum(2).flatten(1)  # (N, D K): how much of the kernel's sum lies along each axis
        lagged = kernels.log_sd[:, : kernels.nodes * kernels.lags].exp() * total.unsqueeze(-1)
        sd = lagged.double().numpy()
    return summarise(mean, sd, kernels.nodes, kernels.lags)


def summarise(mean: np.ndarray, sd: np.ndarray, nodes: int, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of weights (N, P, D) and sds of independent parts of their kernels' sums -> lag and sign, (N, D, D) each.

    lag: mean lag in periods, each lag weighted by the size of its weight.
    sign: P(sum of the kernel > 0) - P(< 0), the sum being the effect of a lasting change.
    """
    shape = (len(mean), nodes, lags, nodes)
    mean, sd = (a[:, : nodes * lags].reshape(shape) for a in (mean, sd))
    size = np.abs(mean)
    lag = (size * np.arange(1, lags + 1)[:, None]).sum(2) / np.maximum(size.sum(2), 1e-12)
    sign = 2 * ndtr(mean.sum(2) / np.maximum(np.sqrt((sd**2).sum(2)), 1e-12)) - 1
    return np.where(size.sum(2) > 1e-12, lag, np.nan), sign


def conditional_kernels(
    kernels: LagKernels, values: Tensor, context: Tensor, edges: Tensor, rounds: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior of the weights given present edges under the learned prior; each target is a Gaussian regression.

    values (N, T, D), context (N, T, C), both scaled; edges (N, D, D) bool. The noise begins at the targets' own spread
    and is re-estimated from the residuals, `rounds` times.
    returns means and sds of the weights (N, P, D), 0 where the edge is absent, and the noise sd (N, D), float64
    """
    inputs = lagged_inputs(values.double(), context.double(), kernels.lags)
    targets = values.double()[:, kernels.lags :]
    prior = kernels.prior_variance().detach().double()
    prior_mean = kernels.prior_mean.detach().double()
    gates = kernels.weight_gates(edges.double())
    gram, moment = inputs.mT @ inputs, inputs.mT @ targets
    noise = targets.std(1, correction=0)
    for _ in range(rounds):
        mean, sd = torch.zeros_like(moment), torch.zeros_like(moment)
        for target in range(values.shape[-1]):
            on = gates[..., target]  # (N, P)
            scale = noise[:, target, None] ** 2
            precision = gram * on[:, :, None] * on[:, None, :] / scale[..., None]
            precision = precision + torch.diag_embed(torch.where(on > 0, 1 / prior[:, target], 1.0))
            factor = torch.linalg.cholesky(precision)
            right = ((moment[..., target] / scale + prior_mean[:, target] / prior[:, target]) * on).unsqueeze(
                -1
            )
            mean[..., target] = torch.cholesky_solve(right, factor).squeeze(-1)
            sd[..., target] = torch.cholesky_inverse(factor).diagonal(dim1=1, dim2=2).sqrt() * on
        variance = torch.stack(
            [(inputs**2 @ (sd[..., j : j + 1] ** 2)).mean((1, 2)) for j in range(values.shape[-1])], -1
        )
        noise = (((targets - inputs @ mean) ** 2).mean(1) + variance).sqrt().clamp_min(1e-3)
    return mean.numpy(), sd.numpy(), noise.numpy()
