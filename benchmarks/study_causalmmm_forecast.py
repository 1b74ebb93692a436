"""Forecasts of GMV on the simulated funnel shops (the paper's Table 7, with ablations).

Every forecaster is searched with the same budget on the validation origins, refitted on what lies before the test
origins and judged on those. Intervals of all are scaled by the errors of the validation origins.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.causalmmm_forecast_page import page
from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance

BUDGET = 6
ABLATIONS = {"CM-full": "full", "CM-markov": "markov", "CM-rw": "rw"}


def spaces() -> dict[str, Any]:
    """Search space by method; of equal size to the eye, and of equal budget by construction."""
    from models.baselines.shop_btvc import ShopBTVC
    from models.baselines.shop_gvar import ShopGVAR
    from models.baselines.shop_linear import ShopLinear
    from models.baselines.shop_lstm import ShopLSTM
    from models.baselines.shop_neural_granger import ShopNeuralGranger
    from models.baselines.shop_seasonal_naive import ShopSeasonalNaive
    from models.baselines.shop_wide_deep import ShopWideDeep
    from models.causalmmm.mediamix_config import MediamixConfig
    from models.causalmmm.network_config import TrainingConfig
    from models.evaluation.forecast_search import SearchSpace

    training = TrainingConfig(epochs=100, learning_rate=0.03, holdout_share=0.0)
    ours = MediamixConfig(
        node_scale="log",
        outcome_scale="log",
        season=7,
        shared_prior=True,
        temporal_from=1.0,
        training=training,
    )
    network = {"hidden": (16, 32, 64), "learning_rate": (1e-3, 3e-3, 1e-2), "weight_decay": (1e-4, 1e-2)}
    return {
        "CausalMMM": SearchSpace(
            ours,
            {
                "lags": (7, 14),
                "outcome_scale": ("log", "standard"),
                "temporal_from": (0.6, 1.0),
                "training.epochs": (60, 100, 160),
            },
        ),
        "seasonal naive": SearchSpace(ShopSeasonalNaive(), {"seasons": (1, 2, 3, 4, 6, 8)}),
        "BTVC": SearchSpace(
            ShopBTVC(),
            {
                "knot_periods": (28, 56, 112),
                "decay": (0.3, 0.5, 0.7),
                "channel_penalty": (1.0, 10.0, 100.0),
                "knot_penalty": (100.0, 1000.0),
                "level_penalty": (10.0, 100.0),
            },
        ),
        "linear autoregression": SearchSpace(
            ShopLinear(),
            {"window": (7, 14, 28), "penalty": (10.0, 100.0, 1000.0), "outcome_scale": ("log", "standard")},
        ),
        "NGC (cMLP)": SearchSpace(
            ShopNeuralGranger(epochs=10),
            network | {"window": (7, 14), "epochs": (5, 10, 20), "penalty": (1e-4, 1e-3, 1e-2)},
        ),
        "GVAR": SearchSpace(
            ShopGVAR(epochs=10, hidden=16),
            network | {"hidden": (8, 16), "window": (7, 14), "epochs": (5, 10, 20)},
        ),
        "LSTM": SearchSpace(ShopLSTM(epochs=20), network | {"window": (28, 56), "epochs": (10, 20, 40)}),
        "Wide & Deep": SearchSpace(
            ShopWideDeep(epochs=10), network | {"window": (7, 14), "epochs": (5, 10, 20)}
        ),
    }


class Fitter:
    """settings, training panel -> fitted; the evidence of a training panel is learned once for each lag order."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, settings: Any, train: Any) -> Any:
        """Fit whatever the settings belong to."""
        from models.causalmmm.mediamix import fit_mediamix
        from models.causalmmm.mediamix_config import MediamixConfig

        if not isinstance(settings, MediamixConfig):
            return settings.fit(train)
        if settings.variant == "full":
            return fit_mediamix(train, settings)
        known = self._evidence(train, settings.kernel_lags)
        return fit_mediamix(train, settings, lambda panel: known)

    def _evidence(self, train: Any, lags: int) -> np.ndarray:
        from models.causalmmm.classical_config import ClassicalConfig
        from models.causalmmm.evidence import ClassicalEvidence

        key = (train.periods_count, lags)
        if key not in self._known:
            config = ClassicalConfig(normal_scores="all", season_lengths=(7,))
            self._known[key] = ClassicalEvidence.learn(train, lags, config)(train)
        return self._known[key]


def forecast_job(seed: int, method: str, budget: int, origins_step: int) -> dict[str, Any]:
    """Figures of one world and method by horizon; CausalMMM brings its ablations, at its own settings."""
    from models.evaluation.forecast_search import search
    from models.simulate.funnel_oracle import noise_floor
    from models.simulate.shop_studies import FUNNEL_KIND as kind

    begun = time.process_time()
    funnel = kind.draw(seed)
    panel, test = funnel.panel, kind.test_origins[::origins_step]
    if method == "oracle":
        floor = noise_floor(funnel, kind.horizons, test, np.random.default_rng([seed, 1]))
        return {"oracle": {"figures": {str(m): f for m, f in floor.items()}}}
    validation = kind.validation_origins[::origins_step]
    fitter = Fitter()
    best, log = search(fitter, spaces()[method], panel, validation, kind.horizons, budget, seed)
    tuned = time.process_time() - begun
    found = {method: _judged(fitter, best, panel, validation, test, kind.horizons)}
    found[method] |= {"log": log, "search_seconds": tuned}
    if method == "CausalMMM":
        for name, variant in ABLATIONS.items():
            settings = replace(best, variant=variant)
            found[name] = _judged(fitter, settings, panel, validation, test, kind.horizons)
    return found


def _judged(
    fitter: Fitter, settings: Any, panel: Any, validation: Any, test: Any, horizons: Any
) -> dict[str, Any]:
    from models.evaluation.forecast_search import forecast_errors
    from models.shops.forecast import ScaledIntervals

    longest = max(horizons)
    earlier = fitter(settings, panel.periods(None, validation[0]))
    factor = ScaledIntervals.learn(earlier, panel, validation, longest).factor
    train = panel.periods(None, test[0])
    begun = time.process_time()
    fitted = fitter(settings, train)
    seconds = time.process_time() - begun
    scale = train.values[..., panel.outcome_index].std(1)
    errors = forecast_errors(ScaledIntervals(fitted, factor), panel, test, longest, scale)
    return {
        "figures": {str(m): errors.figures(m) for m in horizons},
        "settings": asdict(settings),
        "interval_factor": [round(float(one), 3) for one in factor],
        "fit_seconds": seconds,
    }


def main() -> None:
    """Measure, write causalmmm_forecast.json and causalmmm_forecast.md."""
    from models.simulate.shop_studies import FUNNEL_KIND as kind

    parser = argparse.ArgumentParser(description="forecasts of simulated funnel shops")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--origins-step", type=int, default=1, help="judge on every n-th origin")
    parser.add_argument("--output", default="docs/studies")
    arguments, _ = parser.parse_known_args()  # other parts of study-causalmmm take more
    begun = time.perf_counter()
    seeds = kind.seeds(arguments.worlds)
    methods = ("oracle", *spaces())
    mark = fingerprint(forecast_job)
    jobs = {
        job_key((method, seed, arguments.budget, arguments.origins_step)): (
            seed, method, arguments.budget, arguments.origins_step,
        )
        for seed in seeds
        for method in methods
    }  # fmt: skip
    found = run_jobs(FOLDER / f"causalmmm_forecast-{mark}.jsonl", jobs, forecast_job, arguments.processes)
    content = {
        "command": make_command("study-causalmmm PARTS=forecast"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seeds": seeds,
        "budget": arguments.budget,
        "horizons": kind.horizons,
        "validation_origins": kind.validation_origins[:: arguments.origins_step],
        "test_origins": kind.test_origins[:: arguments.origins_step],
        "worlds": {key: result for key, result in found.items()},
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "causalmmm_forecast.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content)
    (folder / "causalmmm_forecast.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
