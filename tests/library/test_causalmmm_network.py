"""The trained levels: what they recover, resume, refuse and forecast, on small worlds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.causalmmm.mediamix import fit_mediamix
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.mediamix_storage import load_mediamix, save_mediamix
from models.causalmmm.network_config import TrainingConfig
from models.causalmmm.paper import fit_paper
from models.causalmmm.paper_config import PaperConfig
from models.errors import NotFittedError, PanelError
from models.shops.forecast import forecast_at
from models.simulate.shops import ShopsConfig, simulate_shops

torch.set_num_threads(1)
SMALL = ShopsConfig(shops_count=12, channels_count=4, periods_count=90, structures_count=2, lags_count=2)
TRAINING = TrainingConfig(epochs=60, holdout_share=0.0, checkpoint_every=5)
CONFIG = MediamixConfig(lags=2, temporal_hidden=3, hidden=4, training=TRAINING)


@pytest.fixture(scope="module")
def world():
    return simulate_shops(SMALL, 5)


def _truth_evidence(world, noise=1.5):
    """Log odds that point at the truth, with noise of their own: no estimator of the library."""

    def evidence(panel):
        shops = [int(shop.rsplit("_", 1)[1]) for shop in panel.shop_ids]
        drawn = np.random.default_rng(3).normal(0, noise, world.graph.shape)
        return (np.where(world.graph, 2.0, -3.0) + drawn)[shops][..., None]

    return evidence


def _auroc(probability, graph, allowed):
    from sklearn.metrics import roc_auc_score

    kept = np.broadcast_to(allowed, graph.shape)
    return roc_auc_score(graph[kept], probability[kept])


def test_pure_elbo_finds_the_graph_without_any_test_statistic(world):
    fit = fit_mediamix(
        world.panel,
        replace(CONFIG, encoder="free", temporal_from=1.0, training=replace(TRAINING, epochs=100)),
    )
    assert _auroc(fit.posterior.edge_probability, world.graph, world.panel.allowed) > 0.95
    shuffled = world.graph[:, ::-1]
    assert _auroc(fit.posterior.edge_probability, shuffled, world.panel.allowed) < 0.8
    with pytest.raises(NotFittedError, match="encoder='evidence'"):
        fit.score(world.panel)


@pytest.mark.parametrize(
    ("fit", "config"), [(fit_mediamix, replace(CONFIG, encoder="free")), (fit_paper, PaperConfig())]
)
def test_lambda_weighs_the_divergence_of_the_edges_alone(world, fit, config):
    """At the first step of the first epoch, where weights and gates do not know lambda yet."""
    one_step = replace(config, training=replace(TRAINING, epochs=1, step_every_batch=False))
    plain, heavy = (fit(world.panel, replace(one_step, divergence_weight=w)).history[0] for w in (1.0, 3.0))
    assert heavy["edges"] == pytest.approx(3 * plain["edges"]) and heavy["likelihood"] == plain["likelihood"]
    with pytest.raises(ValueError, match="divergence_weight is -1"):
        replace(config, divergence_weight=-1.0)


def test_evidence_encoder_scores_unseen_shops_with_lag_and_sign_and_survives_the_disk(world, tmp_path):
    keep = np.arange(SMALL.shops_count) < 9
    evidence = _truth_evidence(world)
    fit = fit_mediamix(world.panel.shops(keep), CONFIG, evidence)
    unseen = world.panel.shops(~keep)
    posterior = fit.score(unseen)
    save_mediamix(fit, tmp_path)
    loaded = load_mediamix(tmp_path, evidence)
    assert np.array_equal(loaded.score(unseen).edge_probability, posterior.edge_probability)
    assert np.array_equal(loaded.posterior.lag, fit.posterior.lag, equal_nan=True)
    assert loaded.config == fit.config
    ahead = [forecast_at(one, world.panel.shops(keep), 80, 3).mean for one in (fit, loaded)]
    assert np.array_equal(*ahead)
    with pytest.raises(NotFittedError, match="without the evidence"):
        load_mediamix(tmp_path).score(unseen)
    with pytest.raises(NotFittedError, match="it holds no whole fit"):
        load_mediamix(tmp_path / "nowhere")
    graph = world.graph[~keep]
    raw = _auroc(evidence(unseen)[..., 0], graph, unseen.allowed)
    assert _auroc(posterior.edge_probability, graph, unseen.allowed) > min(raw, 0.98) - 0.02
    found = graph & (posterior.edge_probability > 0.5) & (np.abs(posterior.sign) > 0.95)
    assert found.sum() > 5
    assert np.mean(posterior.sign[found] * world.sign[~keep][found] > 0) > 0.9
    assert np.mean(np.abs(posterior.lag - world.lag[~keep])[found]) < 0.3


@pytest.mark.parametrize("level", ["paper", "mediamix"])
def test_resumed_training_ends_where_an_uninterrupted_one_does(level, world, tmp_path):
    panel = world.panel.shops(np.arange(4))
    training = TrainingConfig(
        epochs=12, checkpoint_every=4, check_every=2, batch_shops=3, step_every_batch=level == "paper"
    )

    def fit(folder=None, stop_after=None):
        if level == "paper":
            config = PaperConfig(encoder_hidden=4, decoder_hidden=4, training=training)
            return fit_paper(panel, config, folder=folder, stop_after=stop_after)
        config = replace(CONFIG, encoder="free", training=training)
        return fit_mediamix(panel, config, folder=folder, stop_after=stop_after)

    whole = fit()
    stopped = fit(tmp_path, stop_after=7)
    assert len(stopped.history) == 7
    torch.rand(5)  # the global stream has moved on
    resumed = fit(tmp_path)
    assert resumed.history == whole.history
    assert np.array_equal(resumed.posterior.edge_probability, whole.posterior.edge_probability)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    other = replace(panel, values=panel.values + 1e-9 * np.arange(panel.periods_count)[:, None])
    panel = other
    with pytest.raises(NotFittedError, match="other settings or data"):
        fit(tmp_path)


def test_batches_that_are_accumulated_do_not_change_the_gradient(world):
    panel = world.panel.shops(np.arange(6))

    def history(batch):
        training = TrainingConfig(epochs=3, holdout_share=0.0, batch_shops=batch)
        full = MediamixConfig(lags=2, variant="full", temporal_hidden=3, training=training)
        return [row["loss"] for row in fit_mediamix(panel, full).history]

    assert history(6) == pytest.approx(history(2), rel=1e-4)


def test_training_stops_when_held_out_periods_do_not_get_better(world):
    training = TrainingConfig(epochs=400, holdout_share=0.3, patience=5, check_every=1, learning_rate=0.1)
    epochs = []
    fit = fit_mediamix(
        world.panel.shops(np.arange(3)),
        replace(CONFIG, encoder="free", training=training),
        progress=epochs.append,
    )
    assert 5 < len(fit.history) < 400
    assert [one.number for one in epochs] == [row["epoch"] for row in fit.history]
    best = min(row["holdout"] for row in fit.history)
    assert fit.history[-6]["holdout"] == best


@pytest.mark.parametrize("variant", ["causalmmm", "full", "markov", "rw"])
def test_every_variant_fits_and_forecasts_plans_as_told(variant, world):
    panel = replace(world.panel.shops(np.arange(3)), planned_ids=world.panel.node_ids[1:3])
    config = MediamixConfig(
        lags=2, encoder="free", variant=variant, season=3, shared_prior=True, outcome_scale="standard",
        training=replace(TRAINING, epochs=5),
    )  # fmt: skip
    fit = fit_mediamix(panel.periods(None, 80), config)
    forecast = forecast_at(fit, panel, 80, 5)
    assert forecast.mean.shape == (3, 5, 5)
    assert np.allclose(forecast.mean[..., 1:3], panel.values[:, 80:85, 1:3])
    lower, upper = forecast.node("gmv").interval(0.9)
    assert (lower < upper).all()


def test_forecast_of_a_known_process_beats_its_mean_and_covers(world):
    config = replace(CONFIG, outcome_scale="standard", training=replace(TRAINING, epochs=100))
    fit = fit_mediamix(world.panel.periods(None, 70), config, _truth_evidence(world, 0.1))
    errors, means, covered = [], [], []
    for origin in range(70, 90):
        forecast = forecast_at(fit, world.panel, origin, 1).node("gmv")
        truth = world.panel.values[:, origin, -1]
        lower, upper = forecast.interval(0.9)
        errors.append((forecast.mean[:, 0, 0] - truth) ** 2)
        means.append((world.panel.values[:, :70, -1].mean(1) - truth) ** 2)
        covered.append((lower[:, 0, 0] <= truth) & (truth <= upper[:, 0, 0]))
    assert np.mean(errors) < 0.5 * np.mean(means)
    assert 0.75 < np.mean(covered) < 0.98


def test_what_is_wrong_is_said(world):
    panel = world.panel
    with pytest.raises(ValueError, match="CM-markov"):
        MediamixConfig(variant="cm")
    with pytest.raises(ValueError, match="give 1 or more"):
        MediamixConfig(lags=0)
    with pytest.raises(PanelError, match="too few for 60 lags"):
        fit_mediamix(panel, replace(CONFIG, lags=60))
    with pytest.raises(PanelError, match="the evidence has shape"):
        fit_mediamix(panel, CONFIG, lambda one: np.zeros((2, 2)))
    fit = fit_mediamix(
        panel.shops([0, 1]), replace(CONFIG, encoder="free", training=replace(TRAINING, epochs=1))
    )
    with pytest.raises(PanelError, match="were not in the fit"):
        forecast_at(fit, panel, 50, 2)
    with pytest.raises(PanelError, match="does not begin with the first period"):
        forecast_at(fit, panel.shops([0, 1]).periods(3, None), 50, 2)
    with pytest.raises(PanelError, match="context_future"):
        fit.forecast(panel.shops([0, 1]), 2, np.zeros((2, 3, 0)), np.zeros((2, 2, 0)))


def test_encoder_that_is_told_nothing_cannot_tell_edges_apart(world):
    """Negative control: what the evidence encoder finds, it finds in the evidence."""
    fit = fit_mediamix(world.panel, CONFIG, lambda one: np.zeros((*world.graph.shape, 1)))
    probability = fit.posterior.edge_probability[:, world.panel.allowed]
    assert np.ptp(probability) < 1e-5


@pytest.mark.parametrize("variant", ["causalmmm", "full", "markov", "rw"])
def test_published_network_scores_and_forecasts_shops_it_has_not_seen(variant, world):
    panel = replace(world.panel, planned_ids=world.panel.node_ids[1:3])
    config = PaperConfig(
        variant=variant, encoder_hidden=4, decoder_hidden=4, training=replace(TRAINING, epochs=2)
    )
    fit = fit_paper(panel.shops(np.arange(4)).periods(None, 80), config)
    unseen = panel.shops([5, 6])
    forecast = forecast_at(fit, unseen, 80, 5)
    assert forecast.mean.shape == (2, 5, 5)
    assert np.allclose(forecast.mean[..., 1:3], unseen.values[:, 80:85, 1:3])
    alone, beside = fit.score(unseen.shops([0])), fit.score(unseen)
    assert np.allclose(alone.edge_probability[0], beside.edge_probability[0])
    with pytest.raises(PanelError, match="reads exactly 80"):
        fit.score(unseen.periods(None, 79))
