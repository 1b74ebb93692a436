"""Saturation: how the response to (carried-over) exposures bends. The NumPy reference.

Every curve is 0 at 0 and does not fall; logistic, Hill, tanh and Michaelis-Menten end at 1 (their coefficient is the
most a channel can add), log and root never end. Exposures (...) are 0 or more, in any unit; parameters broadcast
against them and have that unit where the tables say so.

    logistic          (1 - e^(-rate x)) / (1 + e^(-rate x))      half at ln 3 / rate     (PyMC-Marketing)
    hill              x^slope / (x^slope + half_saturation^slope) half at half_saturation  (Jin et al. 2017)
    tanh              tanh(x / scale)                             half at scale ln(3) / 2
    michaelis_menten  x / (x + half_saturation)                   half at half_saturation
    log               log1p(x / scale)                            none
    root              x^exponent                                  none

logistic is tanh with scale 2 / rate, Michaelis-Menten is Hill with slope 1, log is concave.concave with scale as bend:
kept under the names the field uses, one formula each. Copies for gradients, held to this file by tests:
saturation_pytensor.py, saturation_torch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.transforms.carryover_kernels import Parameter
from models.transforms.concave import concave

Values = np.ndarray | float
RATE = Parameter("rate", 0.0, np.inf, False, False, "per unit of exposure")
HALF_SATURATION = Parameter("half_saturation", 0.0, np.inf, False, False, "unit of exposure")
SLOPE = Parameter("slope", 0.0, np.inf, False, False, "no unit; above 1 the curve is S-shaped")
SCALE = Parameter("scale", 0.0, np.inf, False, False, "unit of exposure")
EXPONENT = Parameter("exponent", 0.0, 1.0, False, True, "no unit; 1 is linear")


@dataclass(frozen=True, slots=True)
class Saturation:
    """A curve by name.

    parameters : in the order in which the functions take them after the exposures
    value : f(x); derivative : df/dx, per unit of exposure, infinite at 0 for Hill with slope and root with exponent
        below 1; half : exposures at which f is half its ceiling, None for curves without one.
    The functions do not check; `saturate` and `saturation_derivative` do.
    """

    parameters: tuple[Parameter, ...]
    value: Callable[..., np.ndarray]
    derivative: Callable[..., np.ndarray]
    half: Callable[..., np.ndarray] | None


def saturate(name: str, exposures: Values, *parameters: Values) -> np.ndarray:
    """f(x) of the named curve, shape of exposures and parameters broadcast.

    Raises ValueError for an unknown name, another number of parameters, parameters outside their interval and
    exposures that are negative or not finite.
    """
    curve, exposures, checked = _checked(name, exposures, parameters)
    return curve.value(exposures, *checked)


def saturation_derivative(name: str, exposures: Values, *parameters: Values) -> np.ndarray:
    """df/dx of the named curve, per unit of exposure; errors as in saturate."""
    curve, exposures, checked = _checked(name, exposures, parameters)
    with np.errstate(divide="ignore"):
        return curve.derivative(exposures, *checked)


def _checked(
    name: str, exposures: Values, parameters: tuple[Values, ...]
) -> tuple[Saturation, np.ndarray, list[np.ndarray]]:
    if name not in SATURATIONS:
        raise ValueError(f"saturation is {name!r}; it must be one of {', '.join(SATURATIONS)}.")
    curve = SATURATIONS[name]
    if len(parameters) != len(curve.parameters):
        needed = ", ".join(p.name for p in curve.parameters)
        raise ValueError(f"saturation {name!r} got {len(parameters)} parameters; give it {needed}.")
    exposures = np.asarray(exposures, dtype=float)
    if not (np.isfinite(exposures) & (exposures >= 0)).all():
        raise ValueError(
            "exposures hold negative or not finite values; saturation is of exposures 0 or more."
        )
    checked = [domain.require(value) for domain, value in zip(curve.parameters, parameters, strict=True)]
    return curve, exposures, checked


def _tanh(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.tanh(x / scale)


def _tanh_derivative(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return (1.0 - np.tanh(x / scale) ** 2) / scale


def _hill(x: np.ndarray, half: np.ndarray, slope: np.ndarray) -> np.ndarray:
    powered = (x / half) ** slope
    return powered / (1.0 + powered)


def _hill_derivative(x: np.ndarray, half: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return slope / half * (x / half) ** (slope - 1.0) / (1.0 + (x / half) ** slope) ** 2


SATURATIONS: Mapping[str, Saturation] = {
    "logistic": Saturation(
        (RATE,),
        lambda x, rate: _tanh(x, 2.0 / rate),
        lambda x, rate: _tanh_derivative(x, 2.0 / rate),
        lambda rate: np.log(3.0) / rate,
    ),
    "hill": Saturation((HALF_SATURATION, SLOPE), _hill, _hill_derivative, lambda half, slope: half),
    "tanh": Saturation((SCALE,), _tanh, _tanh_derivative, lambda scale: scale * np.log(3.0) / 2.0),
    "michaelis_menten": Saturation(
        (HALF_SATURATION,),
        lambda x, half: x / (x + half),
        lambda x, half: half / (x + half) ** 2,
        lambda half: half,
    ),
    "log": Saturation((SCALE,), concave, lambda x, scale: 1.0 / (x + scale), None),
    "root": Saturation(
        (EXPONENT,),
        lambda x, exponent: x**exponent,
        lambda x, exponent: exponent * x ** (exponent - 1.0),
        None,
    ),
}
