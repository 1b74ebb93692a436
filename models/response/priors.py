"""Priors of the response model, each the image of a standard normal: value = f(location + scale x), x ~ N(0, 1).

The sampler moves in the x, which all have one scale, so that priors of decays, ROI and variances need no code of their
own. A half-normal's mass at zero has no such form; spreads and noise are log-normal here, and never exactly zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from models.transforms.carryover_kernels import KERNELS
from models.transforms.saturation import SATURATIONS


def _require_sd(sd: float) -> None:
    if not 0 < sd < np.inf:
        raise ValueError(f"the width of a prior is {sd}; it must be above 0 and finite.")


@dataclass(frozen=True, slots=True)
class Normal:
    """Of either sign; mean and sd in the parameter's unit."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _require_sd(self.sd)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Above 0; median in the parameter's unit, log_sd of its logarithm."""

    median: float
    log_sd: float

    def __post_init__(self) -> None:
        _require_sd(self.log_sd)
        if not 0 < self.median < np.inf:
            raise ValueError(f"median of a log-normal prior is {self.median}; it must be above 0 and finite.")


@dataclass(frozen=True, slots=True)
class LogitNormal:
    """Between 0 and upper; median in the parameter's unit, logit_sd of the logit of value / upper."""

    median: float
    logit_sd: float
    upper: float = 1.0

    def __post_init__(self) -> None:
        _require_sd(self.logit_sd)
        if not 0 < self.median < self.upper < np.inf:
            raise ValueError(
                f"median of a logit-normal prior is {self.median} with upper {self.upper}; it must lie between 0 and "
                "upper."
            )


Prior = Normal | LogNormal | LogitNormal
EffectKind = Literal["roi", "contribution", "coefficient"]
EFFECT_KINDS = ("roi", "contribution", "coefficient")


@dataclass(frozen=True, slots=True)
class EffectPrior:
    """What is known of a channel's effect before the data, as a mean over markets.

    kind : "roi": KPI per money spent over the recorded periods; "contribution": share of the recorded KPI;
        "coefficient": of the saturated adstock, as a share of the market's mean KPI
    prior : LogNormal keeps the effect positive; Normal leaves its sign free, and is integrated out
    """

    kind: EffectKind
    prior: Normal | LogNormal

    def __post_init__(self) -> None:
        if self.kind not in EFFECT_KINDS:
            raise ValueError(
                f"kind of an effect prior is {self.kind!r}; give one of {', '.join(EFFECT_KINDS)}."
            )
        if not isinstance(self.prior, Normal | LogNormal):
            raise ValueError(
                f"prior of an effect is {self.prior!r}; give LogNormal for a positive effect or Normal for a free sign."
            )

    @property
    def is_positive(self) -> bool:
        """Whether the sign is fixed."""
        return isinstance(self.prior, LogNormal)


#: Where nothing is said. ROI as Meridian's default: LogNormal(0.2, 0.9) in logs.
DEFAULT_ROI = EffectPrior("roi", LogNormal(float(np.exp(0.2)), 0.9))
DEFAULT_CONTRIBUTION = EffectPrior("contribution", LogNormal(0.03, 1.2))
#: Of kernels and curves by parameter name; lags in periods, exposures in units of the channel's mean per inhabitant.
DEFAULT_TRANSFORMS: Mapping[str, Prior] = {
    "decay": LogitNormal(0.45, 1.1),
    "shape": LogNormal(1.0, 0.5),
    "scale": LogNormal(1.5, 0.8),
    "half_saturation": LogNormal(1.2, 0.8),
    "slope": LogNormal(1.0, 0.4),
    "rate": LogNormal(1.0, 0.8),
    "exponent": LogitNormal(0.6, 0.8),
}


@dataclass(frozen=True, slots=True)
class ChannelPriors:
    """Priors of one channel; None and what `transforms` does not name take the defaults of this module.

    effect : None: ROI where the channel's spend is known, else contribution
    transforms : priors of kernel and curve parameters by name; "scale" of a Weibull kernel is "kernel_scale"
    """

    effect: EffectPrior | None = None
    transforms: Mapping[str, Prior] = field(default_factory=dict)


def transform_priors(kernel: str, saturation: str, given: Mapping[str, Prior], max_lag: int) -> list[Prior]:
    """Priors of the kernel's parameters, then of the curve's, in their order.

    Raises ValueError for names that neither has, and for priors that leave the parameter's interval.
    """
    names = transform_names(kernel, saturation)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(
            f"priors of {', '.join(unknown)}: kernel {kernel!r} and saturation {saturation!r} have "
            f"{', '.join(names)}. Drop them or choose another kernel or curve."
        )
    found = []
    parameters = (*KERNELS[kernel].parameters, *SATURATIONS[saturation].parameters)
    for name, parameter in zip(names, parameters, strict=True):
        prior = given.get(name) or _default(parameter.name, max_lag)
        upper = max_lag if parameter.name == "delay" else parameter.upper
        is_inside = (isinstance(prior, LogNormal) and np.isinf(upper)) or (
            isinstance(prior, LogitNormal) and prior.upper <= upper
        )
        if not is_inside:
            raise ValueError(
                f"the prior of {name} is {prior}, but {name} lies between {parameter.lower:g} and {upper:g}: give "
                f"{'LogNormal' if np.isinf(upper) else f'LogitNormal with upper at most {upper:g}'}."
            )
        found.append(prior)
    return found


def transform_names(kernel: str, saturation: str) -> tuple[str, ...]:
    """Names of the kernel's parameters, then of the curve's; a Weibull's scale is "kernel_scale"."""
    kernels = [p.name if p.name != "scale" else "kernel_scale" for p in KERNELS[kernel].parameters]
    return (*kernels, *(p.name for p in SATURATIONS[saturation].parameters))


def _default(name: str, max_lag: int) -> Prior:
    if name == "delay":
        return LogitNormal(max_lag / 4.0, 1.0, float(max_lag))
    return DEFAULT_TRANSFORMS[name]
