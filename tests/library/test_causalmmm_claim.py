"""Claim 1 of Gong et al. (2024) as an exact property: z_ij = 0 makes the one-step prediction of j invariant to x_i."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.causalmmm.gates import edge_divergence, hard_gates, likely_gates
from models.causalmmm.hill import HillResponse
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.mediamix_network import MediamixNetwork, decode_series
from models.causalmmm.paper_config import PaperConfig
from models.causalmmm.paper_network import PaperNetwork

torch.set_num_threads(1)
NODES, PERIODS, CONTEXTS, OUTCOME = 4, 12, 2, 3
PATTERNS = st.lists(st.booleans(), min_size=NODES * NODES, max_size=NODES * NODES)
VARIANTS = st.sampled_from(("causalmmm", "markov", "rw"))


def _stirred(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Every weight away from its initial value, so that no path is silent because it has not been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return network.double()


def _series(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, PERIODS, NODES, generator=generator, dtype=torch.float64)
    return values, torch.randn(1, PERIODS, CONTEXTS, generator=generator, dtype=torch.float64)


def _paper(values, context, gates, variant, seed):
    network = PaperNetwork(PERIODS, NODES, CONTEXTS, OUTCOME, PaperConfig(variant=variant, decoder_hidden=5))
    return _stirred(network, seed).decode(values, context, gates)


def _mediamix(values, context, gates, variant, seed):
    config = MediamixConfig(variant=variant, lags=3, temporal_hidden=3)
    network = _stirred(MediamixNetwork(1, NODES, CONTEXTS, OUTCOME, config), seed)
    return decode_series(network, values, context, gates, torch.arange(1))


DECODERS = {"paper": _paper, "mediamix": _mediamix}


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@settings(max_examples=25, deadline=None)
@given(pattern=PATTERNS, variant=VARIANTS, source=st.integers(0, NODES - 1), seed=st.integers(0, 2**20))
def test_absent_edge_makes_the_prediction_exactly_invariant(decoder, pattern, variant, source, seed):
    gates = torch.tensor(pattern, dtype=torch.float64).reshape(1, NODES, NODES)
    gates[:, range(NODES), range(NODES)] = 0.0
    values, context = _series(seed)
    changed = values.clone()
    changed[..., source] += (
        3.0 * torch.randn(PERIODS, generator=torch.Generator().manual_seed(seed + 1)).double()
    )

    def predicted(series):
        torch.manual_seed(seed)
        return decoder(series, context, gates, variant, seed).detach()

    difference = (predicted(changed) - predicted(values)).abs().amax(dim=(0, 1))
    for target in range(NODES):
        if target != source and gates[0, source, target] == 0:
            assert difference[target] == 0.0


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_present_edge_does_change_the_prediction(decoder):
    gates = torch.zeros(1, NODES, NODES, dtype=torch.float64)
    gates[0, 0, 1] = 1.0
    values, context = _series(3)
    changed = values.clone()
    changed[..., 0] += 1.0

    def predicted(series):
        torch.manual_seed(3)
        return decoder(series, context, gates, "causalmmm", 3).detach()

    difference = (predicted(changed) - predicted(values)).abs().amax(dim=(0, 1))
    assert difference[1] > 1e-3
    assert difference[2] == 0.0


def test_gates_are_hard_follow_their_odds_and_pass_gradients():
    allowed = ~torch.eye(3, dtype=torch.bool)
    logits = torch.full((2000, 3, 3), 1.0, requires_grad=True)
    gates = hard_gates(logits, allowed, 0.5, torch.Generator().manual_seed(1))
    assert set(gates.detach().unique().tolist()) == {0.0, 1.0}
    assert gates[:, range(3), range(3)].sum() == 0
    share = gates.detach()[:, allowed].mean()
    assert abs(share - torch.sigmoid(torch.tensor(1.0))) < 0.02
    gates.sum().backward()
    assert (logits.grad[:, allowed] > 0).any()
    assert (logits.grad[:, ~allowed] == 0).all()
    assert likely_gates(
        torch.tensor([[9.0, -1.0], [1.0, 9.0]]), ~torch.eye(2, dtype=torch.bool)
    ).tolist() == [[0, 0], [1, 0]]


def test_edge_divergence_is_zero_at_the_prior_and_matches_its_definition():
    allowed = torch.tensor([[False, True], [False, False]])
    at_prior = torch.logit(torch.full((2, 2), 0.15, dtype=torch.float64))
    assert abs(edge_divergence(at_prior, allowed, 0.15)) < 1e-12
    q, p = 0.8, 0.15
    expected = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    got = edge_divergence(torch.logit(torch.full((2, 2), q, dtype=torch.float64)), allowed, p)
    assert float(got) == pytest.approx(expected)


def test_hill_begins_nearly_straight_rises_and_saturates_with_the_stated_slope():
    hill = HillResponse(1).double()
    u = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    context = torch.zeros(61, 1, dtype=torch.float64)
    mean, slope = hill(u, context)
    assert np.corrcoef(u.detach(), mean.detach())[0, 1] > 0.99
    (gradient,) = torch.autograd.grad(mean.sum(), u)
    assert torch.allclose(gradient, slope, rtol=1e-9)
    far, _ = hill(torch.tensor([1e6, 1e9], dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64))
    assert far[1] - far[0] < 1e-3
