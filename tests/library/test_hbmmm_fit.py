"""The fit as a whole: against a naive row-level PyMC model, repeatable, saved and loaded, told how far it is."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.checks.convergence import check_convergence
from models.errors import ConvergenceError, NotFittedError
from models.hbmmm.backend import load_pymc
from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design, feature_matrix
from models.hbmmm.diagnostics import ess_bulk, r_hat
from models.hbmmm.fit import HBMMMFit, fit_hbmmm
from models.hbmmm.problem import build_problem, consumer_row_means, prior_table
from models.hbmmm.sampler import sample_posterior
from models.hbmmm.statistics import SufficientStatistics, row_design


def naive_posterior(panel, statistics, design, frame, problem, config):
    """Draws (chain, draw, d) of the same parameters from a PyMC model of the rows with every effect explicit."""
    pm = load_pymc()
    import pytensor.tensor as pt

    rows = row_design(panel)[1] @ design.affine_map(len(statistics.columns))
    means = consumer_row_means(statistics, design)
    centred = rows[:, :-1].copy()
    centred[:, 1:] -= means[panel.consumer_index][:, 1:]
    features = feature_matrix(design, means, frame)[panel.consumer_index]
    fixed = np.column_stack([centred, *(centred[:, c] * features[:, f] for c, f in design.moderators)])
    x, r = centred[:, list(design.slope_columns)], centred[:, list(design.market_columns)]
    n, j, k, q = len(panel.consumer_ids), len(panel.market_ids), x.shape[1], r.shape[1]
    by_consumer = (panel.consumer_index[:, None] == np.arange(n)).astype(float)
    by_market = (panel.market_index[:, None] == np.arange(j)).astype(float)
    own = np.concatenate([by_consumer * x[:, [c]] for c in range(k)], axis=1)
    home = np.concatenate([by_market * r[:, [c]] for c in range(q)], axis=1)
    stratum = problem.by_consumer(problem.stratum)[panel.consumer_index]
    by_stratum = (stratum[:, None] == np.arange(len(problem.strata))).astype(float)
    sd = prior_table(problem.design, len(problem.strata), config)[1]
    s = len(problem.strata)
    with pm.Model() as model:
        log_noise = pm.Normal("log_noise", 0, sd[:s])
        consumer_sd = pm.HalfNormal("consumer_sd", sd[s : s + k])
        assert (
            k == 3
        )  # an intercept and two slopes, whose one correlation is 2 Beta(eta, eta) - 1 under LKJ(eta)
        share = pm.Beta("share", config.prior_slope_correlation, config.prior_slope_correlation, shape=1)
        rho = 2 * share[0] - 1
        pm.Deterministic("z", pt.arctanh(2 * share - 1))
        market_sd = pm.Normal("market_sd", 0, sd[problem.layout.market])
        beta = pm.Normal("beta", 0, sd[problem.layout.fixed])
        free = pm.Normal("g", 0, 1, shape=(k, n))
        g = pt.stack([free[0], free[1], rho * free[1] + pt.sqrt(1 - rho**2) * free[2]])
        m = pm.Normal("m", 0, 1, shape=(q, j))
        mean = pt.dot(fixed, beta) + pt.dot(own, (g * consumer_sd[:, None]).ravel())
        mean = mean + pt.dot(home, (m * market_sd[:, None]).ravel())
        pm.Normal("y", mean, pt.exp(pt.dot(by_stratum, log_noise)), observed=rows[:, -1])
        logger = logging.getLogger("pymc")
        level = logger.level
        logger.setLevel(logging.ERROR)
        trace = pm.sample(
            400,
            tune=400,
            chains=2,
            cores=1,
            nuts_sampler="pymc",
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
            return_inferencedata=False,
            compile_kwargs={"mode": "NUMBA"},
            model=model,
        )
        logger.setLevel(level)
    names = ("log_noise", "consumer_sd", "z", "market_sd", "beta")
    draws = np.concatenate([np.stack(trace.get_values(v, combine=False)) for v in names], axis=-1)
    market = problem.layout.market
    draws[..., market] = np.abs(draws[..., market])
    return draws


def test_posterior_is_that_of_a_naive_model_of_the_rows(money_panel):
    """Means and spreads within Monte-Carlo error, for every parameter. (Yes-no exposures without periods: with
    x beside log1p(x) the naive model takes minutes.)"""
    panel = money_panel(20, 6, 4, seed=2, binary=True, log_rate=-0.5)[0]
    config = HBMMMConfig(draws=400, include_period_effects="none")
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    problem = build_problem(statistics, design, frame)
    ours = sample_posterior(problem, config, seed=1).draws
    naive = naive_posterior(panel, statistics, design, frame, problem, config)
    spread = naive.std(axis=(0, 1))
    error = spread * np.sqrt(1 / ess_bulk(ours) + 1 / ess_bulk(naive))
    z = (ours.mean(axis=(0, 1)) - naive.mean(axis=(0, 1))) / error
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() < 2.5  # the naive chains' sizes, down to 190, are rough: 0.45 and 1.9 were seen
    assert np.median(ours.std(axis=(0, 1)) / spread) == pytest.approx(1.0, abs=0.06)


def test_chains_agree_and_none_diverges(small_fit):
    _, _, fit, _ = small_fit
    assert fit.divergences_count == 0
    assert fit.diagnostics["r_hat"].max() < 1.06  # 120 draws a chain; the default draws 1000
    assert fit.diagnostics["ess_bulk"].min() > 200
    assert fit.diagnostics["parameter"].tolist() == list(fit.parameter_names)
    shape = (2, 4, 120, len(fit.parameter_names))
    assert fit.draws.shape == shape


def test_draws_of_one_completed_data_set_are_near_the_bounds(money_panel):
    """The default is judged over five completed data sets, whose R-hat is lower than that of one."""
    panel = money_panel(100, 8, 4, seed=8)[0]
    config = HBMMMConfig(draws=HBMMMConfig().draws_each(5))
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    sample = sample_posterior(build_problem(statistics, design, frame), config, seed=2)
    assert sample.divergences_count == 0
    assert ess_bulk(sample.draws).min() > 400
    assert r_hat(sample.draws[None]).max() < 1.025


def test_standard_deviations_are_positive_and_shares_are_shares(small_fit):
    fit = small_fit[2]
    spread = [i for i, n in enumerate(fit.parameter_names) if n.startswith(("consumer_sd", "market_sd"))]
    assert (fit.draws[..., spread] >= 0).all()
    assert ((fit.learned_share >= 0) & (fit.learned_share <= 1)).all()
    assert np.linalg.eigvalsh(fit.coefficient_covariance).min() > -1e-9


def test_progress_runs_from_start_to_end(small_fit):
    told = small_fit[3]
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert any("imputation 2 of 2" in text for text, _ in told)


def test_the_same_seed_gives_the_same_draws(money_panel):
    panel = money_panel(30, 6, 3)[0]
    config = HBMMMConfig(draws=20, tune=10, effect_draws=40)
    statistics = SufficientStatistics.from_panel(panel)
    fits = [fit_hbmmm(statistics, panel.characteristics, config) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].draws, fits[1].draws)
    np.testing.assert_array_equal(fits[0].coefficient_mean, fits[1].coefficient_mean)
    assert len(fits[0].completed) == 1  # nothing is missing: one fit


def test_saved_and_loaded_fits_are_equal(small_fit, tmp_path):
    fit = small_fit[2]
    fit.save(tmp_path / "fit")
    assert sorted(p.suffix for p in (tmp_path / "fit").iterdir()) == [".json", ".nc", *[".parquet"] * 4]
    again = HBMMMFit.load(tmp_path / "fit")
    assert again.design == fit.design and again.config == fit.config
    assert again.parameter_names == fit.parameter_names and again.strata == fit.strata
    for name in (
        "draws",
        "market_draws",
        "kept_index",
        "coefficient_covariance",
        "learned_share",
        "row_means",
    ):
        np.testing.assert_array_equal(getattr(again, name), getattr(fit, name))
    assert again.consumer_ids.tolist() == fit.consumer_ids.tolist()
    for one, other in zip(again.completed, fit.completed, strict=True):
        assert one["plan"].tolist() == other["plan"].tolist()
        np.testing.assert_array_equal(one["age"], other["age"])
    pd.testing.assert_frame_equal(again.diagnostics, fit.diagnostics)


def test_an_incomplete_folder_is_refused(small_fit, tmp_path):
    small_fit[2].save(tmp_path)
    (tmp_path / "arrays.nc").unlink()
    with pytest.raises(NotFittedError, match=r"arrays\.nc.*missing"):
        HBMMMFit.load(tmp_path)


def test_a_fit_saved_before_energies_were_recorded_has_no_e_bfmi_and_passes_nothing(small_fit):
    fit = small_fit[2]
    assert fit.e_bfmi > 0.3
    old = replace(fit, sampler=fit.sampler.drop(columns="e_bfmi"))
    assert np.isnan(old.e_bfmi)
    table = old.diagnostics.set_index("parameter")
    ess = table["ess_bulk"] + 1e4
    verdict = check_convergence(table["r_hat"] * 0 + 1, ess, old.divergences_count, old.e_bfmi)
    assert verdict.passed is None


def test_a_search_that_was_cut_short_is_no_mode(small_fit, monkeypatch):
    """Negative control of the check at the end: the same data, two steps a search."""
    from models.hbmmm import laplace
    from models.hbmmm.problem import log_posterior

    panel, _, fit, _ = small_fit
    problem = build_problem(SufficientStatistics.from_panel(panel), fit.design, fit.completed[0])
    density = lambda x: log_posterior(problem, x, fit.prior_sd, 2.0)  # noqa: E731
    found = laplace.find_mode(problem, fit.prior_sd, density)
    again = laplace.find_mode(problem, fit.prior_sd, density, found.mode)
    assert np.abs(again.mode - found.mode).max() < 0.05 * np.sqrt(np.diag(found.covariance)).max()
    minimize = laplace.optimize.minimize

    def short(*arguments, options, **given):
        return minimize(*arguments, options=options | {"maxiter": 2}, **given)

    monkeypatch.setattr(laplace.optimize, "minimize", short)
    with pytest.raises(ConvergenceError, match=r"one more step promises .* most of all along .*\. Look for"):
        laplace.find_mode(problem, fit.prior_sd, density)
