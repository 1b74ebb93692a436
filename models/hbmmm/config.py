"""Settings of one HBMMM fit: sampler, priors, imputation.

Prior scales are on the scaled problem: the outcome is divided by its within-consumer standard deviation,
exposures by theirs, moderators are standardised (design.py), so that 1 means "one standard deviation".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

_CHOICES = {
    "include_period_effects": ("full", "none"),
    "slope_correlations": ("lkj", "none"),
    "basis": ("concave", "linear"),
    "outcome": ("money", "log1p"),
    "imputed_moderators": ("average", "drawn"),
    "inference": ("auto", "nuts", "importance", "laplace"),
}


@dataclass(frozen=True, slots=True)
class HBMMMConfig:
    """Everything a fit depends on besides the data.

    chains, draws: NUTS chains and kept draws a chain. Where characteristics are imputed, M completed data sets
        share twice as many (2 draws / M each, at most `draws`): R-hat and ESS are judged over all of them.
    tune: draws of the pilot chain that a step size is judged on (the metric is the Laplace covariance, and fixed).
    target_accept: mean acceptance a step size must reach there, in (0, 1).
    seed: seed of sampler, imputation and consumer draws.
    imputations_count: completed data sets when characteristics are missing; one fit is done when none are.
    imputation_rounds: sweeps of the chained imputation.
    missing_indicators: adds "is missing" columns to the characteristics (a pattern-mixture view of data that
        are not missing at random; the imputation itself assumes missing at random).
    imputed_moderators: what slopes see of an imputed characteristic. Imputation knows what a consumer bought, not how
        it responds, so that an imputed age says little about a slope: taken as if it were known ("drawn"), groups of
        known age are pulled together. "average": slopes see the mean of the imputed values in all whose value is
        unknown; the intercept sees each value as imputed.
    interactions: pairs of characteristics whose products join the characteristics, for the intercept and every slope
        (characteristics.product_features); a name that the data lack is refused when the fit begins.
    interval_level: mass of every published interval.
    effect_draws: draws kept, over all chains and imputations, for effects and predictions.
    include_period_effects: "full" puts a dummy for every panel period into the row-level columns.
    min_level_consumers: levels of a categorical characteristic with fewer consumers are pooled as "other".
    min_segment_consumers: segment cells with fewer consumers are pooled before publishing.
    collinearity_threshold: the concave column is dropped where its within-consumer R2 on x exceeds this.
    prior_*_sd: standard deviation of the normal prior on a fixed coefficient; prior_*_scale: scale of the half-normal
        prior on a standard deviation; prior_log_noise_sd: of the normal prior on log noise sd (mean 0).
    prior_*_share: sd or scale of the prior on how a slope differs (by a standard deviation of a characteristic, between
        consumers, between markets), as a share of the slope's own size (Design.slope_sizes).
    robust_errors: stretch population draws to consumer-clustered errors where these are wider.
    worker_processes: processes over imputations (1 = in this process); threads of importance sampling and of the draws
        of consumer effects, which do not depend on their number.
    slope_correlations: "lkj" gives the consumer slopes a full covariance, with the LKJ prior of concentration
        prior_slope_correlation on their correlations; "none" a diagonal one.
    basis: exposure columns of the row-level design: x and log1p(x / bend) (models/transforms/concave.py), or x alone
        (the paper's model).
    outcome: what the statistics' outcome must be: net GMV in money, or its logarithm (outcome.py).
    inference: "nuts"; "importance": importance sampling of the collapsed posterior (importance.py); "auto" takes
        the latter from importance_consumers on, and NUTS where its k-hat or size fails; "laplace": draws of the
        normal approximation at the mode, for refits by the hundred (refit.py), which no check lets through.
    importance_draws: particles of a stage of it.
    collapsed_consumers: from so many consumers on NUTS moves in the variances alone (collapsed_sampler.py).
    """

    chains: int = 4
    tune: int = 50
    draws: int = 1500
    target_accept: float = 0.5
    seed: int = 20261121
    imputations_count: int = 5
    imputation_rounds: int = 10
    missing_indicators: bool = False
    imputed_moderators: Literal["average", "drawn"] = "average"
    interactions: tuple[tuple[str, str], ...] = ()
    interval_level: float = 0.95
    effect_draws: int = 1000
    include_period_effects: Literal["full", "none"] = "full"
    min_level_consumers: int = 20
    min_segment_consumers: int = 10
    collinearity_threshold: float = 0.995
    prior_intercept_sd: float = 3.0
    prior_row_sd: float = 1.0
    prior_intercept_moderator_sd: float = 1.0
    prior_slope_moderator_share: float = 0.3
    prior_consumer_intercept_scale: float = 2.0
    prior_consumer_slope_share: float = 1.0
    prior_market_intercept_scale: float = 0.3
    prior_market_slope_share: float = 0.15
    prior_log_noise_sd: float = 1.0
    slope_correlations: Literal["lkj", "none"] = "lkj"
    prior_slope_correlation: float = 2.0
    basis: Literal["concave", "linear"] = "concave"
    outcome: Literal["money", "log1p"] = "money"
    inference: Literal["auto", "nuts", "importance", "laplace"] = "auto"
    importance_consumers: int = 50_000
    importance_draws: int = 500
    collapsed_consumers: int = 20_000
    robust_errors: bool = True
    worker_processes: int = 1

    def __post_init__(self) -> None:
        """Refuse settings that would only fail after minutes of sampling."""
        counts = ("chains", "tune", "draws", "effect_draws", "imputation_rounds", "worker_processes")
        for name in (*counts, "importance_consumers", "importance_draws", "collapsed_consumers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}; raise it.")
        for name in ("interval_level", "target_accept", "collinearity_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}.")
        if self.imputations_count < 2:
            raise ValueError(
                f"imputations_count must be at least 2 to carry imputation uncertainty, got "
                f"{self.imputations_count}; 5 is the usual minimum."
            )
        for name in self.__dataclass_fields__:
            if name.startswith("prior_") and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}, got {getattr(self, name)!r}.")
        object.__setattr__(self, "interactions", checked_pairs(self.interactions))

    def draws_each(self, data_sets_count: int) -> int:
        """Kept draws a chain for each of so many completed data sets."""
        return min(self.draws, -(-2 * self.draws // data_sets_count))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for the experiment tracker."""
        return asdict(self)


def checked_pairs(pairs: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of names as tuples (JSON has lists). Raises ValueError for what is no pair, or stands there twice."""
    found: list[tuple[str, str]] = []
    for pair in pairs:
        names = () if isinstance(pair, str) else tuple(pair)
        if len(names) != 2 or not all(isinstance(name, str) and name for name in names):
            raise ValueError(
                f"interactions holds {pair!r}; each interaction is a pair of characteristics, such as ['age', 'plan']."
            )
        first, second = names
        if first == second:
            raise ValueError(
                f"interactions pairs {first!r} with itself; name two different characteristics, or add its square to "
                "the data as a characteristic of its own."
            )
        if (first, second) in found or (second, first) in found:
            raise ValueError(f"interactions names {first!r} and {second!r} twice; leave one out.")
        found.append((first, second))
    return tuple(found)
