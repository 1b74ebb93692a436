"""The marginal likelihood of the response model against brute force, a joint PyMC model and numerical derivatives."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from models.response.channel_curves import ChannelCurves
from models.response.config import ResponseConfig
from models.response.curve_slopes import CURVES
from models.response.density import ResponseDensity
from models.response.lift_tests import LiftTest
from models.response.linear_draws import draw_linear
from models.response.market_panel import MarketPanel
from models.response.priors import ChannelPriors, EffectPrior, LogNormal, Normal, transform_names
from models.response.problem import build_problem
from models.response.scaling import Scaling
from models.response.shocks import ShockPrior
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import mart_frames, simulate_market_world
from models.transforms.carryover_kernels import KERNELS, carry_over
from models.transforms.saturation import SATURATIONS

FREE = EffectPrior("contribution", Normal(0.02, 0.1))


def small_panel(markets: int = 3, periods: int = 14, gaps: bool = True, seed: int = 7) -> MarketPanel:
    channels = tuple(MarketChannelSpec(name, 0.5, 1.5, dark_share=0.2) for name in ("a", "b", "c"))
    config = MarketWorldConfig(
        channels=channels, markets_count=markets, periods_count=periods, start_date=date(2024, 1, 1)
    )
    world = simulate_market_world(config, seed)
    frames = mart_frames(world)
    if gaps:
        frames["market_periods"] = frames["market_periods"].drop(index=[0, 1, markets * periods - 3])
    return MarketPanel.from_frames(
        *(
            frames[n]
            for n in (
                "market_periods",
                "market_channel_periods",
                "market_covariate_periods",
                "mediator_periods",
            )
        ),
        currency_code="USD",
        period="week",
        population=dict(zip(world.market_ids, world.population, strict=True)),
    )


def small_density(panel: MarketPanel, tests: tuple[LiftTest, ...] = (), **settings) -> ResponseDensity:
    priors = {
        "b": ChannelPriors(FREE),
        "c": ChannelPriors(EffectPrior("coefficient", LogNormal(0.3, 0.8))),
    }
    config = ResponseConfig(max_lag=4, priors=priors, **settings)
    return ResponseDensity(build_problem(panel, config, Scaling.of_panel(panel), tests))


def lifts_of(panel: MarketPanel) -> tuple[LiftTest, ...]:
    start, end = panel.period_starts[5], panel.period_starts[9]
    spend = float(panel.spend[np.ix_([0, 2], range(5, 10), [0, 1])].sum())
    several = LiftTest(
        "several", ("a", "b"), ("m000", "m002"), start, end, 0.6 * spend, None, 0.5 * spend, 0.2 * spend
    )
    intensity = float(panel.intensity[1, 5:10, 2].sum())
    removed = LiftTest("removed", ("c",), ("m001",), start, end, None, -0.3 * intensity, -2e5, 1e5)
    return several, removed


def position(density: ResponseDensity, seed: int = 0) -> np.ndarray:
    return 0.4 * np.random.default_rng(seed).normal(size=len(density.problem.layout))


@pytest.mark.parametrize("markets", [3, 1])
@pytest.mark.parametrize("shocks", ["autoregressive", "none"])
def test_the_gradient_is_the_derivative(markets: int, shocks: str) -> None:
    panel = small_panel(markets)
    density = small_density(panel, lifts_of(panel) if markets > 1 else (), shocks=shocks)
    x = position(density)
    _, gradient = density.value_and_gradient(x)
    for a, name in enumerate(density.problem.layout.names):
        step = np.zeros(len(x))
        step[a] = 1e-5
        up, down = (density.value_and_gradient(x + sign * step)[0] for sign in (1, -1))
        assert gradient[a] == pytest.approx((up - down) / 2e-5, rel=2e-5, abs=2e-4), name


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("saturation", SATURATIONS)
def test_curves_are_the_reference_and_their_derivatives_are_right(kernel: str, saturation: str) -> None:
    rng = np.random.default_rng(1)
    exposures = rng.gamma(1.0, 1.0, size=(2, 3, 9)) * (rng.random((2, 3, 9)) < 0.7)
    curves = ChannelCurves(exposures, kernel, saturation, 3)
    names = transform_names(kernel, saturation)
    parameters = rng.uniform(0.3, 0.9, size=(2, len(names)))
    count = curves.kernel_parameters
    found = curves.forward(parameters)
    for c in range(2):
        weights = KERNELS[kernel].weights(*parameters[c, :count], 3)
        adstock = carry_over(exposures[c], weights)
        expected = SATURATIONS[saturation].value(adstock, *parameters[c, count:])
        assert found.values[c] == pytest.approx(expected, abs=1e-12)
        positive = adstock > 0
        slopes = SATURATIONS[saturation].derivative(adstock[positive], *parameters[c, count:])
        assert found.by_adstock[c][positive] == pytest.approx(slopes)
    direction = rng.normal(size=exposures.shape)
    slopes = curves.backward(found, direction)
    for index in np.ndindex(parameters.shape):
        step = np.zeros_like(parameters)
        step[index] = 1e-6
        up, down = ((curves.forward(parameters + s * step).values * direction).sum() for s in (1, -1))
        assert slopes[index] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


def test_every_curve_of_the_reference_has_slopes() -> None:
    assert set(CURVES) == set(SATURATIONS)


def dense_design(density: ResponseDensity, x: np.ndarray):
    """Mean, design over all standard normal coefficients and shocks, and noise, of recorded cells: by definition."""
    problem, at = density.problem, density.evaluate(x)
    markets, periods = problem.outcome.shape
    cells = [(j, t) for j in range(markets) for t in range(periods) if problem.recorded[j, t]]
    values = dict(zip(problem.layout.names, at.values, strict=True))
    columns = []
    for c, effect in enumerate(problem.effects):
        channel = "abc"[c]
        adstock = carry_over(
            problem.exposures[c], KERNELS["geometric"].weights(values[f"decay[{channel}]"], 4)
        )
        f = SATURATIONS["hill"].value(
            adstock, values[f"half_saturation[{channel}]"], values[f"slope[{channel}]"]
        )
        total = (f[:markets] * problem.recorded).sum(axis=1)
        scale = 1.0 if effect.kind == "coefficient" else problem.reference[c] / total
        columns.append((f * np.ones(1), scale * np.ones(markets)))
    mean = [values["effect[a]"], FREE.prior.mean, values["effect[c]"]]
    spread = [
        values[f"market_spread[{name}]"] * size
        for name, size in zip("abc", (mean[0], FREE.prior.sd, mean[2]), strict=True)
    ]
    rows, expected, noise = [], [], []
    for j, t in cells:
        own = np.zeros((markets, 5))
        own[j, 0] = problem.config.level_sd
        own[j, 1] = values["trend_spread"] * problem.years[t]
        k = [f[j, t] * scale[j] for f, scale in columns]
        own[j, 2:] = [s * one for s, one in zip(spread, k, strict=True)]
        rows.append(
            np.concatenate([own.ravel(), np.eye(periods)[t], problem.common[j, t], [FREE.prior.sd * k[1]]])
        )
        expected.append(sum(m * one for m, one in zip(mean, k, strict=True)))
        noise.append(problem.kpi_spread * values["noise"] * values[f"noise_ratio[m{j:03d}]"])
    prior = np.eye(len(rows[0]))
    block = slice(markets * 5, markets * 5 + periods)
    sd, memory = problem.kpi_spread * values["shock_sd"], values["shock_memory"]
    lags = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    prior[block, block] = sd**2 * memory**lags
    outcome = np.array([problem.outcome[cell] for cell in cells])
    return np.array(rows), np.array(expected), np.array(noise), prior, outcome, columns, mean, spread


def dense_rows(density: ResponseDensity, panel: MarketPanel, columns, mean, spread, kpi_mean):
    """Design, expectation and data of the lift tests, by definition: each counterfactual computed again."""
    markets, periods = density.problem.outcome.shape
    design, expected = [], []
    for test in lifts_of(panel):
        own, total, common = np.zeros((markets, 5)), 0.0, np.zeros(density.problem.common.shape[2] + 1)
        channels = ["abc".index(c) for c in test.channel_ids]
        treated = [int(m[1:]) for m in test.market_ids]
        quantity = panel.spend if test.spend_delta is not None else panel.intensity
        delta = test.spend_delta if test.spend_delta is not None else test.exposures_delta
        share = delta / quantity[np.ix_(treated, range(5, 10), channels)].sum()
        for c in channels:
            values = dict(
                zip(density.problem.layout.names, density.evaluate(position(density)).values, strict=True)
            )
            name = "abc"[c]
            for j in treated:
                less = density.problem.exposures[c, j].copy()
                less[5:10] *= 1 - share
                adstock = carry_over(less, KERNELS["geometric"].weights(values[f"decay[{name}]"], 4))
                f = SATURATIONS["hill"].value(
                    adstock, values[f"half_saturation[{name}]"], values[f"slope[{name}]"]
                )
                full, scale = columns[c]
                gained = kpi_mean[j] * scale[j] * (full[j] - f)[5:10].sum() / test.standard_error
                own[j, 2 + c] += spread[c] * gained
                total += mean[c] * gained
                if c == 1:
                    common[-1] += FREE.prior.sd * gained
        design.append(np.concatenate([own.ravel(), np.zeros(periods), common]))
        expected.append(total)
    return np.array(design), np.array(expected)


def test_the_marginal_likelihood_is_that_of_the_dense_normal_with_gaps_and_lift_tests() -> None:
    panel = small_panel()
    tests = lifts_of(panel)
    density = small_density(panel, tests)
    x = position(density)
    design, mean, noise, prior, outcome, columns, means, spread = dense_design(density, x)
    rows, row_mean = dense_rows(density, panel, columns, means, spread, np.nanmean(panel.kpi, axis=1))
    all_rows = np.concatenate([design, rows])
    covariance = all_rows @ prior @ all_rows.T + np.diag(np.concatenate([noise**2, np.ones(2)]))
    data = np.concatenate([outcome, [t.lift / t.standard_error for t in tests]])
    centre = np.concatenate([mean, row_mean])
    expected = multivariate_normal(centre, covariance).logpdf(data)
    expected -= sum(np.log(t.standard_error) for t in tests)
    at = density.evaluate(x)
    assert at.log_likelihood == pytest.approx(expected, abs=1e-6)
    gain = prior @ all_rows.T @ np.linalg.inv(covariance)
    posterior_mean = gain @ (data - centre)
    posterior_covariance = prior - gain @ all_rows @ prior
    found = np.concatenate([at.posterior.own_mean.ravel(), at.posterior.common_mean])
    assert found == pytest.approx(posterior_mean, abs=1e-8)
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(4000):
        own, common = draw_linear(at.posterior, at.rows, rng)
        draws.append(np.concatenate([own.ravel(), common]))
    sd = np.sqrt(np.diag(posterior_covariance))
    drawn = (np.array(draws) - posterior_mean) / sd
    correlation = posterior_covariance / np.outer(sd, sd)
    assert np.abs(drawn.mean(axis=0)).max() < 4.5 / np.sqrt(4000)
    assert np.abs(drawn.T @ drawn / 4000 - correlation).max() < 0.1


def test_the_joint_pymc_model_less_the_conditional_of_the_linear_part_is_the_marginal() -> None:
    """p(y) = p(y, linear) / p(linear | y) at any value of the linear part; the joint as PyMC and PyTensor have it."""
    from models.hbmmm.backend import load_pymc

    pm = load_pymc()
    import pytensor.tensor as pt

    from models.transforms import carryover_kernels_pytensor, saturation_pytensor

    panel = small_panel()
    density = small_density(panel)
    problem, x = density.problem, position(density, 2)
    at = density.evaluate(x)
    values = dict(zip(problem.layout.names, at.values, strict=True))
    markets, periods = problem.outcome.shape
    seen = np.nonzero(problem.recorded)
    curve = np.array([[values[f"{n}[{c}]"] for n in problem.layout.transforms] for c in "abc"])
    spread = np.array([values[f"market_spread[{c}]"] for c in "abc"])
    with pm.Model() as model:
        own = pm.Normal("own", shape=(markets, 5))
        shock = pm.AR(
            "shock",
            rho=[values["shock_memory"]],
            sigma=at.shocks.sd * np.sqrt(1 - at.shocks.memory**2),
            init_dist=pm.Normal.dist(0, at.shocks.sd, shape=1),
            steps=periods - 1,
        )
        common = pm.Normal("common", shape=problem.common.shape[2])
        free = pm.Normal("free")
        mean = pt.stack([values["effect[a]"], 0.02 + 0.1 * free, values["effect[c]"]])
        sizes = pt.stack([values["effect[a]"], 0.1, values["effect[c]"]])
        effect = mean + own[:, 2:] * (spread * sizes)
        carried = carryover_kernels_pytensor.carry_over(
            problem.exposures, carryover_kernels_pytensor.geometric_kernel(curve[:, 0], 4)[:, None]
        )
        f = saturation_pytensor.SATURATIONS["hill"](carried, curve[:, 1, None, None], curve[:, 2, None, None])
        reference = np.where(np.isnan(problem.reference), 1.0, problem.reference)
        total = pt.switch(np.isnan(problem.reference), 1.0, (f * problem.recorded).sum(axis=2))
        column = f * (reference / total)[:, :, None]
        expected = (column * effect.T[:, :, None]).sum(axis=0) + own[:, :1] + shock
        expected += own[:, 1:2] * values["trend_spread"] * problem.years + problem.common @ common
        pm.Normal("kpi", expected[seen], at.noise[seen[0]], observed=problem.outcome[seen])
    joint = model.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(5)
    for _ in range(3):
        z, b = draw_linear(at.posterior, None, rng)
        point = {"own": z, "shock": b[:periods], "common": b[periods:-1], "free": b[-1]}
        covariance = np.linalg.inv(at.posterior.common_root @ at.posterior.common_root.T)
        conditional = multivariate_normal(at.posterior.common_mean, covariance).logpdf(b)
        centre = at.posterior.own_mean - at.posterior.half @ (b - at.posterior.common_mean)
        conditional += sum(
            multivariate_normal(centre[j], at.posterior.own_inverse[j]).logpdf(z[j]) for j in range(markets)
        )
        assert float(joint(point)) - conditional == pytest.approx(at.log_likelihood, abs=1e-6)


def test_shock_precision_inverts_the_autoregression() -> None:
    prior = ShockPrior(6, 0.3, 0.7)
    precision = np.zeros((6, 6))
    prior.add_precision(precision)
    lags = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    covariance = 0.09 * 0.7**lags
    assert precision @ covariance == pytest.approx(np.eye(6))
    assert prior.log_determinant == pytest.approx(np.linalg.slogdet(covariance)[1])


def test_breakdowns_are_rejected_and_not_raised() -> None:
    density = small_density(small_panel())
    for far in (60.0, -60.0):
        value, gradient = density.value_and_gradient(np.full(len(density.problem.layout), far))
        assert value == -np.inf or np.isfinite(gradient).all()


def test_a_lift_test_moves_the_effect_it_measured_and_leaves_the_likelihood_of_the_rest() -> None:
    panel = small_panel()
    (test, _) = lifts_of(panel)
    x = position(small_density(panel))
    without = small_density(panel).evaluate(x)
    vague = small_density(panel, (replace(test, standard_error=1e12),)).evaluate(x)
    assert vague.posterior.own_mean == pytest.approx(without.posterior.own_mean, abs=1e-6)
    sharp = small_density(panel, (replace(test, lift=3 * test.lift, standard_error=1.0),)).evaluate(x)
    moved = sharp.posterior.own_mean - without.posterior.own_mean
    assert np.abs(moved[[0, 2], 2:4]).max() > 0.1
