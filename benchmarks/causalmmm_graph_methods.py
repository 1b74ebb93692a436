"""Who judges graphs in study_causalmmm_graphs, and one measurement of one of them on one world."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

#: name -> what it is, as the page says it.
METHODS = {
    "classical": "classical level (search for parents, structures shared)",
    "classical, node units": "the same, every node scaled to unit variance in its shop",
    "classical, shops alone": "the same, structures not shared",
    "mediamix": "level mediamix (network fed with the classical evidence)",
    "mediamix, CM-markov": "the same, memory of one period",
    "mediamix, CM-rw": "the same, no saturation",
    "pure ELBO": "level mediamix, free logits, no test statistic",
    "paper": "level paper (the published network)",
    "paper, CM-markov": "the same, memory of one period",
    "paper, CM-rw": "the same, no saturation",
    "CM-full": "CM-full (every edge present: no graph to learn)",
    "granger_bayes_factor": "g-prior Bayes factor in the full regression",
    "granger_f_test": "Granger F-test in the full regression",
    "granger_ridge": "linear Granger as the paper scores it",
    "ngc_cmlp": "NGC (cMLP)",
    "ngc_clstm": "NGC (cLSTM)",
    "ingra": "InGRA (after its description)",
    "pcmci_plus": "PCMCI+, partial correlations (the first ten shops)",
    "gvar": "GVAR",
    "lag_correlation": "largest lagged correlation",
    "sd_ratio": "sd ratio",
    "all_absent": "all absent",
}
#: Worlds of the paper's Tables 3 to 6. What takes long is asked about worlds that the paper asks it about.
TABLE_KINDS = ("sim1", "sim2", "sim2_d5", "sim2_d20", "sim2_T30", "sim2_T720", "sim2_R10", "sim2_R20")
ABLATED_KINDS = TABLE_KINDS[:6]
SHOPS_KINDS_OF_FIGURE_4 = ("sim2_N10", "sim2_N25", "sim2_N50", "sim2_N200", "sim2_N400")
DIAL = ("sim1_sd30", "sim1_sd20", "sim1_sd10")
_ELSEWHERE = {
    "pure ELBO": (*TABLE_KINDS, "sim1_pair", "sim2_pair", *DIAL),
    "paper": (*TABLE_KINDS, *SHOPS_KINDS_OF_FIGURE_4, "sim2_unseen"),
    **dict.fromkeys(("mediamix, CM-markov", "mediamix, CM-rw"), ABLATED_KINDS),
    **dict.fromkeys(("paper, CM-markov", "paper, CM-rw"), ABLATED_KINDS),
    **dict.fromkeys(("ngc_cmlp", "gvar"), (*ABLATED_KINDS, *SHOPS_KINDS_OF_FIGURE_4)),
    "ngc_clstm": ("sim1", "sim2", "sim2_d5", "sim2_T30"),
    "ingra": ("sim1", "sim2", "sim1_pair", "sim2_pair", "sim2_d5", "sim2_T30", "sim2_R10", "sim2_R20"),
    "pcmci_plus": ("sim1", "sim2", "sim2_d5", "sim2_T30"),
    "CM-full": TABLE_KINDS,
}
#: Methods of seconds a shop that look at every shop alone are asked about so many of them.
_SHOPS_AT_MOST = {"pcmci_plus": 10}


def is_measured(kind: str, method: str) -> bool:
    """Whether the study asks this method about this kind of worlds."""
    return kind in _ELSEWHERE.get(method, (kind,))


def measure(kind_name: str, seed: int, method: str) -> dict[str, Any]:
    """Scores of one method on one world, CPU seconds of its fit; `refused` holds why a method would not run."""
    from models.evaluation.graph_scores import score_ranking
    from models.simulate.shop_studies import SHOPS_KINDS

    kind = SHOPS_KINDS[kind_name]
    world, unseen = kind.draw(seed)
    if method.startswith(("classical", "mediamix", "pure ELBO", "paper")):
        return _level(method, kind.lags_count, world, unseen)
    shops = range(min(world.panel.shops_count, _SHOPS_AT_MOST.get(method, world.panel.shops_count)))
    panel, graph = world.panel.shops(shops), world.graph[list(shops)]
    begun = time.process_time()
    try:
        found = baseline_of(method, kind.lags_count).score_edges(panel)
    except ValueError as error:
        return {"refused": str(error)}
    seconds = time.process_time() - begun
    scores = score_ranking(found.score, graph, panel.allowed, found.present)
    return {"scores": asdict(scores), "seconds": seconds}


def baseline_of(method: str, lags_count: int):
    """The baseline of this name."""
    import torch

    from models.baselines.generalised_var import GeneralisedVar
    from models.baselines.granger_bayes_factor import GrangerBayesFactor
    from models.baselines.granger_f_test import GrangerFTest
    from models.baselines.granger_ridge import GrangerRidge
    from models.baselines.graph_trivial import AllAbsent, AllPresent, LagCorrelation, SdRatio
    from models.baselines.ingra import InductiveGranger
    from models.baselines.neural_granger import NeuralGranger
    from models.baselines.neural_granger_recurrent import RecurrentNeuralGranger
    from models.baselines.pcmci_plus import PcmciPlus

    torch.set_num_threads(1)
    without_lags = {
        "sd_ratio": SdRatio,
        "all_absent": AllAbsent,
        "CM-full": AllPresent,
        "ngc_clstm": RecurrentNeuralGranger,
        "ingra": InductiveGranger,
    }
    if method in without_lags:
        return without_lags[method]()
    made = {
        "granger_bayes_factor": GrangerBayesFactor,
        "granger_f_test": GrangerFTest,
        "granger_ridge": GrangerRidge,
        "lag_correlation": LagCorrelation,
        "ngc_cmlp": NeuralGranger,
        "gvar": GeneralisedVar,
        "pcmci_plus": PcmciPlus,
    }
    return made[method](lags_count=lags_count)


def fitted_level(method: str, lags_count: int, panel, *, threads: int = 1, all_epochs: bool = False):
    """The fit of a level of CausalMMM with its usual settings; all take the panel and give `posterior` and `score`.

    all_epochs: networks hold nothing out and never stop early, so that seconds are of the same number of epochs.
    """
    import torch

    from models.causalmmm.classical import fit_classical
    from models.causalmmm.classical_config import ClassicalConfig
    from models.causalmmm.mediamix import fit_mediamix
    from models.causalmmm.mediamix_config import MediamixConfig
    from models.causalmmm.paper import fit_paper
    from models.causalmmm.paper_config import PaperConfig

    torch.set_num_threads(threads)
    level, _, option = method.partition(", ")
    if level == "classical":
        options = {"": {}, "node units": {"units": "node"}, "shops alone": {"share_structures": False}}
        return fit_classical(panel, ClassicalConfig(lags_count=lags_count, **options[option]))
    config = PaperConfig() if level == "paper" else MediamixConfig(lags=lags_count)
    config = replace(config, variant=option.removeprefix("CM-") or "causalmmm")
    if level == "pure ELBO":
        config = replace(config, encoder="free")
    if all_epochs:
        config = replace(config, training=replace(config.training, holdout_share=0.0))
    return fit_paper(panel, config) if level == "paper" else fit_mediamix(panel, config)


def compiled(panel, lags_count: int) -> None:
    """Compile and import what fits need, so that seconds are of fitting."""
    fitted_level("classical", lags_count, panel.shops([0]).periods(0, 3 * lags_count))


def _level(method: str, lags_count: int, world, unseen) -> dict[str, Any]:
    from models.evaluation.graph_scores import (
        lag_and_sign_recovery,
        reliability,
        score_probabilities,
        structure_recovery,
    )

    compiled(world.panel, lags_count)
    begun = time.process_time()
    fit = fitted_level(method, lags_count, world.panel)
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
