"""Chains of PyMC's NUTS on a density written by hand: no PyTensor graph is compiled, and chains may run in threads.

The model PyMC is shown has one vector of standard normals; its density is replaced by ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.hbmmm.backend import load_pymc

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]


class _Function:
    """What PyMC's leapfrog asks of a compiled log density."""

    dtype = "float64"
    _raveled_inputs = True

    def __init__(self, density: Density) -> None:
        self.evaluations_count = 0
        self._extra_vars_shared: dict[str, Any] = {}
        self._density = density

    def _pytensor_function(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations_count += 1
        return self._density(q)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """draws (draw, d), energy, is_divergent, depth (draw,); gradients: all that were evaluated; step_size: the last."""

    draws: np.ndarray
    energy: np.ndarray
    is_divergent: np.ndarray
    depth: np.ndarray
    evaluations_count: int
    step_size: float


def run_chain(
    density: Density,
    covariance: np.ndarray,
    start: np.ndarray,
    step_size: float,
    *,
    tune: int,
    draws: int,
    target_accept: float,
    seed: np.random.SeedSequence,
    tell: Callable[[], None],
) -> Chain:
    """`tune` draws that adapt the step size and `draws` that are kept, in the metric of a covariance (d, d).

    tell: called after every draw. The same arguments give the same chain.
    """
    pm = load_pymc()
    from pymc.blocking import DictToArrayBijection
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    dimension = len(start)
    function, generator = _Function(density), np.random.default_rng(seed)
    with pm.Model() as model:
        pm.Normal("parameters", shape=dimension)
    step = pm.NUTS(
        model=model,
        potential=QuadPotentialFull(covariance, rng=generator.spawn(1)[0]),
        logp_dlogp_func=function,
        target_accept=target_accept,
        step_scale=step_size * dimension**0.25,  # PyMC divides by it
        initial_point={"parameters": start},
        rng=generator,
    )
    at = DictToArrayBijection.map({"parameters": np.array(start)})
    kept, stats = np.empty((draws, dimension)), []
    for draw in range(tune + draws):
        step.tune = draw < tune
        at, (found,) = step.astep(at)
        if draw >= tune:
            kept[draw - tune] = at.data
            stats.append((found["energy"], found["diverging"], found["depth"]))
        tell()
    energy, is_divergent, depth = (np.array(column) for column in zip(*stats, strict=True))
    return Chain(
        kept,
        energy,
        is_divergent.astype(bool),
        depth,
        function.evaluations_count,
        float(found["step_size_bar"]),
    )
