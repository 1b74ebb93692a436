"""Saturation curves: limits, half points, derivatives, and the copies held to the NumPy reference."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import torch

from models.transforms import saturation as reference
from models.transforms import saturation_pytensor as in_pytensor
from models.transforms import saturation_torch as in_torch
from models.transforms.concave import concave

INSIDE = {
    "logistic": (0.7,),
    "hill": (2.0, 1.6),
    "tanh": (1.5,),
    "michaelis_menten": (2.0,),
    "log": (3.0,),
    "root": (0.4,),
}
X = np.array([0.0, 0.01, 0.5, 2.0, 7.0, 40.0])


def test_every_curve_is_named_in_all_three():
    assert (
        set(reference.SATURATIONS) == set(in_pytensor.SATURATIONS) == set(in_torch.SATURATIONS) == set(INSIDE)
    )


@pytest.mark.parametrize("name", INSIDE)
def test_starts_at_zero_rises_and_has_its_derivative(name):
    parameters = INSIDE[name]
    value = reference.saturate(name, X, *parameters)
    assert value[0] == 0 and (np.diff(value) > 0).all()
    inside = X[1:]
    step = 1e-6 * inside
    up, down = (reference.saturate(name, inside + s, *parameters) for s in (step, -step))
    found = reference.saturation_derivative(name, inside, *parameters)
    np.testing.assert_allclose(found, (up - down) / (2 * step), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["logistic", "hill", "tanh", "michaelis_menten"])
def test_ends_at_one_and_is_half_at_its_half_point(name):
    parameters = INSIDE[name]
    half = reference.SATURATIONS[name].half(*parameters)
    assert reference.saturate(name, half, *parameters) == pytest.approx(0.5, rel=1e-12)
    assert reference.saturate(name, 1e9, *parameters) == pytest.approx(1.0, abs=1e-8)


def test_names_of_one_formula_agree():
    np.testing.assert_allclose(reference.saturate("logistic", X, 0.8), reference.saturate("tanh", X, 2.5))
    e = np.exp(-0.8 * X)
    np.testing.assert_allclose(reference.saturate("logistic", X, 0.8), (1 - e) / (1 + e), atol=1e-15)
    np.testing.assert_allclose(
        reference.saturate("michaelis_menten", X, 2.0), reference.saturate("hill", X, 2.0, 1.0)
    )
    np.testing.assert_array_equal(reference.saturate("log", X, 3.0), concave(X, 3.0))
    np.testing.assert_array_equal(reference.saturate("root", X, 1.0), X)
    assert reference.SATURATIONS["log"].half is None and reference.SATURATIONS["root"].half is None


def test_parameters_broadcast_over_leading_axes():
    half = np.array([[1.0], [4.0]])
    found = reference.saturate("hill", X, half, 2.0)
    assert found.shape == (2, 6)
    np.testing.assert_allclose(found[1], X**2 / (X**2 + 16))


def test_derivative_at_zero_is_the_initial_slope_or_infinite():
    assert reference.saturation_derivative("michaelis_menten", 0.0, 4.0) == pytest.approx(0.25)
    assert reference.saturation_derivative("hill", 0.0, 4.0, 2.0) == 0
    assert np.isinf(reference.saturation_derivative("root", 0.0, 0.5))


@pytest.mark.parametrize("name", INSIDE)
def test_copies_agree_in_values_and_gradients_also_at_zero(name):
    values = [np.array(p) for p in INSIDE[name]]
    weights = np.random.default_rng(3).normal(size=len(X))
    symbols = [pt.dscalar() for _ in values]
    x = pt.dvector()
    curve = in_pytensor.SATURATIONS[name](x, *symbols)
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        gradients = pytensor.grad((curve * weights).sum(), [*symbols, x])
        found = pytensor.function([x, *symbols], [curve, *gradients])(X, *values)
    tensors = [torch.tensor(float(v), dtype=torch.float64, requires_grad=True) for v in values]
    x_torch = torch.tensor(X, requires_grad=True)
    from_torch = in_torch.SATURATIONS[name](x_torch, *tensors)
    (from_torch * torch.tensor(weights)).sum().backward()

    expected = reference.saturate(name, X, *values)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(from_torch.detach().numpy(), expected, rtol=1e-12)
    for k in range(len(values)):
        up, down = ([v + s * (i == k) for i, v in enumerate(values)] for s in (1e-6, -1e-6))
        difference = reference.saturate(name, X, *up) - reference.saturate(name, X, *down)
        numeric = (difference * weights).sum() / 2e-6
        np.testing.assert_allclose(found[1 + k], numeric, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(tensors[k].grad.item(), found[1 + k], rtol=1e-9)
    slopes = reference.saturation_derivative(name, X[1:], *values) * weights[1:]
    np.testing.assert_allclose(found[-1][1:], slopes, rtol=1e-9)
    np.testing.assert_allclose(x_torch.grad.numpy()[1:], slopes, rtol=1e-9)
    assert np.isfinite(found[-1]).all() and torch.isfinite(x_torch.grad).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: reference.saturate("s_curve", X, 1.0), "'s_curve'; it must be one of logistic"),
        (lambda: reference.saturate("hill", X, 1.0), "got 1 parameters; give it half_saturation, slope"),
        (lambda: reference.saturate("hill", X, 0.0, 1.0), "half_saturation is 0.0"),
        (lambda: reference.saturate("root", X, 1.2), r"exponent is 1.2.*\(0, 1\]"),
        (lambda: reference.saturate("tanh", [-1.0], 1.0), "negative or not finite"),
    ],
)
def test_refuses_what_is_no_saturation(call, says):
    with pytest.raises(ValueError, match=says):
        call()
