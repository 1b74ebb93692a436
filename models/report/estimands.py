"""What each estimand means, in words and as a formula: x exposures of a consumer-period, f its expected net GMV."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EstimandText:
    """name as in the tables; words for a marketing lead, formula for an analyst."""

    name: str
    words: str
    formula: str


ESTIMANDS = (
    EstimandText(
        "contribution",
        "Net GMV that would have been missing without the channel's exposures, all else as it was.",
        "sum over panel rows of f(x) − f(0)",
    ),
    EstimandText(
        "slope",
        "What one more exposure of a consumer in a period changes in that period's net GMV, on average.",
        "mean over panel rows of f(x + 1) − f(x)",
    ),
    EstimandText(
        "att_exposed",
        "What the exposures of an exposed consumer-period changed, on average over those that were exposed.",
        "mean over rows with x > 0 of f(x) − f(0)",
    ),
    EstimandText(
        "ate_exposed",
        "Exposed against unexposed consumer-periods with a counterpart, by weighting or matching on the recorded past.",
        "mean over rows with overlap of f(exposed) − f(not exposed)",
    ),
    EstimandText("cate", "The same within a segment of consumers.", "ate_exposed over the rows of a segment"),
    EstimandText(
        "roas",
        "Contribution per unit of money spent; refused where the spend is not known.",
        "contribution / spend",
    ),
    EstimandText(
        "marginal_roas",
        "What the next unit of money would bring, spread over markets and periods as the recorded spend was.",
        "d/dh contribution at spend (1 + h) times the recorded / spend",
    ),
    EstimandText(
        "total_effect",
        "The response model's contribution where the declared causal graph says that it is all a channel does, through "
        "other channels and mediators too.",
        "E[GMV | recorded exposures] − E[GMV | the channel at zero], carry-over included",
    ),
    EstimandText(
        "direct_effect",
        "The same with the channels that it drives held at what was recorded.",
        "E[GMV | recorded] − E[GMV | the channel at zero, other channels as recorded]",
    ),
)
