"""Carry-over kernels: limits, closed forms, and the PyTensor and torch copies held to the NumPy reference."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import torch

from models.transforms import carryover_kernels as reference
from models.transforms import carryover_kernels_pytensor as in_pytensor
from models.transforms import carryover_kernels_torch as in_torch
from models.transforms.adstock import geometric_adstock

INSIDE = {
    "geometric": ([0.2, 0.7],),
    "delayed": ([0.4, 0.8], [0.5, 2.0]),
    "binomial": ([0.3, 0.8],),
    "weibull_pdf": ([0.8, 2.5], [1.5, 4.0]),
    "weibull_cdf": ([0.8, 2.5], [1.5, 4.0]),
}
LAG = 6


def parameters(name):
    return [np.array(values) for values in INSIDE[name]]


def test_every_kernel_is_named_in_all_three():
    assert set(reference.KERNELS) == set(in_pytensor.KERNELS) == set(in_torch.KERNELS) == set(INSIDE)


@pytest.mark.parametrize("name", INSIDE)
def test_one_exposure_leaves_the_kernel_and_its_mass_is_one(name):
    kernel = reference.KERNELS[name].weights(*parameters(name), LAG)
    impulse = np.zeros(12)
    impulse[2] = 3.0
    carried = reference.carry_over(impulse, kernel)
    assert carried.shape == (2, 12)
    np.testing.assert_allclose(carried[:, 2 : 3 + LAG], 3.0 * kernel)
    np.testing.assert_allclose(carried.sum(axis=-1), 3.0)
    assert (carried[:, :2] == 0).all() and (carried[:, 3 + LAG :] == 0).all()
    raw = reference.KERNELS[name].weights(*parameters(name), LAG, normalised=False)
    np.testing.assert_allclose(raw / raw.sum(axis=-1, keepdims=True), kernel)


@pytest.mark.parametrize("name", INSIDE)
def test_leading_axes_are_one_kernel_each(name):
    both = reference.KERNELS[name].weights(*parameters(name), LAG)
    for i in range(2):
        one = reference.KERNELS[name].weights(*[p[i] for p in parameters(name)], LAG)
        np.testing.assert_allclose(both[i], one, rtol=1e-14)


@pytest.mark.parametrize("kernel", [reference.geometric_kernel, reference.binomial_kernel])
def test_decay_zero_is_the_identity(kernel):
    x = np.random.default_rng(0).gamma(1.0, 2.0, (3, 9))
    np.testing.assert_array_equal(reference.carry_over(x, kernel(0.0, LAG)), x)
    np.testing.assert_array_equal(reference.carry_over(x, reference.delayed_kernel(0.0, 0.0, LAG)), x)


def test_geometric_of_a_long_window_is_the_adstock_of_unlimited_memory():
    x = np.random.default_rng(1).gamma(1.0, 2.0, (3, 20))
    kernel = reference.geometric_kernel(0.6, 19, normalised=False)
    assert kernel.sum() == pytest.approx((1 - 0.6**20) / 0.4)
    np.testing.assert_allclose(reference.carry_over(x, kernel), geometric_adstock(x, 0.6), rtol=1e-12)


def test_closed_forms():
    delayed = reference.delayed_kernel(0.5, 3.0, 8, normalised=False)
    assert delayed.argmax() == 3 and delayed[3] == 1.0
    np.testing.assert_allclose(delayed[1], 0.5**4)
    np.testing.assert_allclose(reference.binomial_kernel(1.0, 4), 0.2)
    np.testing.assert_allclose(reference.binomial_kernel(0.5, 3, normalised=False), [1, 0.75, 0.5, 0.25])
    # shape 1: exponential density e^(-t/s)/s at 1, 2, ...: geometric with decay e^(-1/s)
    np.testing.assert_allclose(
        reference.weibull_pdf_kernel(1.0, 2.0, 5), reference.geometric_kernel(np.exp(-0.5), 5), rtol=1e-12
    )
    # shape 1: survival e^(-k/s), so the product to l is e^(-l(l+1)/(2s))
    lags = np.arange(6)
    np.testing.assert_allclose(
        reference.weibull_cdf_kernel(1.0, 2.0, 5, normalised=False), np.exp(-lags * (lags + 1) / 4)
    )
    density = reference.weibull_pdf_kernel(2.0, 8.0, 60, normalised=False)
    assert density.sum() == pytest.approx(
        1.0 - (2 / 8**2) / 12, abs=1e-4
    )  # the sum of a density that starts at 0


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("normalised", [True, False])
def test_copies_agree_in_values_and_gradients(name, normalised):
    rng = np.random.default_rng(2)
    x, weights = rng.gamma(0.5, 2.0, (2, 10)), rng.normal(size=(2, 10))
    values = parameters(name)

    def scalar(*numbers):
        kernel = reference.KERNELS[name].weights(*numbers, LAG, normalised)
        return reference.carry_over(x, kernel)

    symbols = [pt.dvector(shape=(2,)) for _ in values]
    carried = in_pytensor.carry_over(x, in_pytensor.KERNELS[name](*symbols, LAG, normalised))
    loss = (carried * weights).sum()
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        found = pytensor.function(symbols, [carried, *pytensor.grad(loss, symbols)])(*values)
    tensors = [torch.tensor(v, requires_grad=True) for v in values]
    from_torch = in_torch.carry_over(torch.tensor(x), in_torch.KERNELS[name](*tensors, LAG, normalised))
    (from_torch * torch.tensor(weights)).sum().backward()

    np.testing.assert_allclose(found[0], scalar(*values), rtol=1e-10)
    np.testing.assert_allclose(from_torch.detach().numpy(), scalar(*values), rtol=1e-10)
    for k, value in enumerate(values):
        step = np.zeros(2) + 1e-6
        up = [v + step if i == k else v for i, v in enumerate(values)]
        down = [v - step if i == k else v for i, v in enumerate(values)]
        numeric = ((scalar(*up) - scalar(*down)) * weights).sum(axis=-1) / 2e-6
        np.testing.assert_allclose(found[1 + k], numeric, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(tensors[k].grad.numpy(), found[1 + k], rtol=1e-9, atol=1e-12)
        assert value.shape == (2,)


def test_windows_longer_than_the_series_agree():
    x = np.arange(1.0, 4.0)
    kernel = reference.geometric_kernel(0.5, 8)
    expected = reference.carry_over(x, kernel)
    np.testing.assert_allclose(in_pytensor.carry_over(x, kernel).eval(mode="FAST_COMPILE"), expected)
    found = in_torch.carry_over(torch.tensor(x), torch.tensor(kernel))
    np.testing.assert_allclose(found.numpy(), expected)
    with pytest.raises(ValueError, match="when the graph is built"):
        in_pytensor.carry_over(pt.dvector(), kernel)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: reference.geometric_kernel(1.0, 3), r"decay is 1.0.*\[0, 1\)"),
        (lambda: reference.geometric_kernel([0.2, np.nan], 3), "decay is nan"),
        (lambda: reference.geometric_kernel(0.2, -1), "max_lag is -1"),
        (lambda: reference.binomial_kernel(1.1, 3), r"decay is 1.1.*\[0, 1\]"),
        (lambda: reference.delayed_kernel(0.5, 4.0, 3), "outside the window. Raise max_lag"),
        (lambda: reference.delayed_kernel(0.0, 0.5, 3), "no period has weight"),
        (lambda: reference.weibull_pdf_kernel(0.0, 1.0, 3), r"shape is 0.0.*\(0, inf\)"),
        (lambda: reference.weibull_pdf_kernel(9.0, 0.01, 3), "no weight left within max_lag"),
    ],
)
def test_refuses_what_is_no_carry_over(call, says):
    with pytest.raises(ValueError, match=says):
        call()
