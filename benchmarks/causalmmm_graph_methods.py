"""Who judges graphs in study_causalmmm_graphs, and one measurement of one of them on one world."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

#: name -> what it is, as the page says it.
METHODS = {
    "classical": "classical level (search for parents, structures shared)",
    "classical, node units": "the same, every node scaled to unit variance in its shop",
    "classical, shops alone": "the same, structures not shared",
    "granger_bayes_factor": "g-prior Bayes factor in the full regression",
    "granger_f_test": "Granger F-test in the full regression",
    "granger_ridge": "linear Granger as the paper scores it",
    "ngc_cmlp": "NGC (cMLP)",
    "gvar": "GVAR",
    "lag_correlation": "largest lagged correlation",
    "sd_ratio": "sd ratio",
    "all_absent": "all absent",
}
CHEAP = (
    "granger_bayes_factor",
    "granger_f_test",
    "granger_ridge",
    "lag_correlation",
    "sd_ratio",
    "all_absent",
)

#: Gong et al. (WSDM 2024), Tables 3 to 6: kind of world -> method -> (ACC, AUROC).
PAPER = {
    "sim1": {
        "CausalMMM": (0.923, 0.935),
        "InGRA": (0.877, 0.863),
        "gvar": (0.839, 0.847),
        "ngc_cmlp": (0.667, 0.694),
        "granger_ridge": (0.630, 0.628),
    },
    "sim2": {
        "CausalMMM": (0.892, 0.903),
        "InGRA": (0.856, 0.854),
        "gvar": (0.784, 0.859),
        "ngc_cmlp": (0.596, 0.639),
        "granger_ridge": (0.624, 0.661),
    },
    "sim2_d5": {
        "CausalMMM": (0.925, 0.910),
        "InGRA": (0.897, 0.882),
        "gvar": (0.842, 0.884),
        "ngc_cmlp": (0.623, 0.665),
        "granger_ridge": (0.612, 0.644),
    },
    "sim2_d20": {
        "CausalMMM": (0.875, 0.905),
        "InGRA": (0.839, 0.872),
        "gvar": (0.792, 0.878),
        "ngc_cmlp": (0.534, 0.595),
        "granger_ridge": (0.580, 0.603),
    },
    "sim2_T30": {
        "CausalMMM": (0.843, 0.852),
        "InGRA": (0.774, 0.763),
        "gvar": (0.693, 0.716),
        "ngc_cmlp": (0.573, 0.568),
        "granger_ridge": (0.514, 0.581),
    },
    "sim2_T720": {
        "CausalMMM": (0.941, 0.952),
        "InGRA": (0.899, 0.907),
        "gvar": (0.886, 0.890),
        "ngc_cmlp": (0.744, 0.752),
        "granger_ridge": (0.735, 0.892),
    },
    "sim2_R10": {"CausalMMM": (0.918, 0.925), "InGRA": (0.848, 0.865)},
    "sim2_R20": {"CausalMMM": (0.877, 0.882), "InGRA": (0.815, 0.820)},
}


def measure(kind_name: str, seed: int, method: str) -> dict[str, Any]:
    """Scores of one method on one world, CPU seconds of its fit; `refused` holds why a method would not run."""
    from models.evaluation.graph_scores import score_ranking
    from models.simulate.shop_studies import SHOPS_KINDS

    kind = SHOPS_KINDS[kind_name]
    world, unseen = kind.draw(seed)
    if method.startswith("classical"):
        return _classical(method, kind.lags_count, world, unseen)
    begun = time.process_time()
    try:
        found = baseline_of(method, kind.lags_count).score_edges(world.panel)
    except ValueError as error:
        return {"refused": str(error)}
    seconds = time.process_time() - begun
    scores = score_ranking(found.score, world.graph, world.panel.allowed, found.present)
    return {"scores": asdict(scores), "seconds": seconds}


def baseline_of(method: str, lags_count: int):
    """The baseline of this name."""
    import torch

    from models.baselines.generalised_var import GeneralisedVar
    from models.baselines.granger_bayes_factor import GrangerBayesFactor
    from models.baselines.granger_f_test import GrangerFTest
    from models.baselines.granger_ridge import GrangerRidge
    from models.baselines.graph_trivial import AllAbsent, LagCorrelation, SdRatio
    from models.baselines.neural_granger import NeuralGranger

    torch.set_num_threads(1)
    if method in ("sd_ratio", "all_absent"):
        return {"sd_ratio": SdRatio, "all_absent": AllAbsent}[method]()
    made = {
        "granger_bayes_factor": GrangerBayesFactor,
        "granger_f_test": GrangerFTest,
        "granger_ridge": GrangerRidge,
        "lag_correlation": LagCorrelation,
        "ngc_cmlp": NeuralGranger,
        "gvar": GeneralisedVar,
    }
    return made[method](lags_count=lags_count)


def _classical(method: str, lags_count: int, world, unseen) -> dict[str, Any]:
    from models.causalmmm.classical import fit_classical
    from models.causalmmm.classical_config import ClassicalConfig
    from models.evaluation.graph_scores import (
        lag_and_sign_recovery,
        reliability,
        score_probabilities,
        structure_recovery,
    )

    options = {
        "classical, node units": {"units": "node"},
        "classical, shops alone": {"share_structures": False},
    }
    config = ClassicalConfig(lags_count=lags_count, **options.get(method, {}))
    fit_classical(world.panel.shops([0]).periods(0, 3 * lags_count), config)  # compiles
    begun = time.process_time()
    fit = fit_classical(world.panel, config)
    seconds = time.process_time() - begun
    posterior, allowed = fit.posterior, world.panel.allowed
    found = {
        "scores": asdict(score_probabilities(posterior.edge_probability, world.graph, allowed)),
        "seconds": seconds,
        "edges": lag_and_sign_recovery(posterior.lag, posterior.sign, world.lag, world.sign, world.graph),
        "reliability": reliability(posterior.edge_probability, world.graph, allowed).to_dict("records"),
        "diagnostics": posterior.diagnostics,
    }
    if posterior.structure_probability is not None:
        found["structures"] = structure_recovery(posterior.structure_probability, world.structure)
    if unseen is not None:
        scored = fit.score(unseen.panel)
        found["unseen"] = asdict(score_probabilities(scored.edge_probability, unseen.graph, allowed))
    return found
