"""Group robustness: placebos, whose true effect is zero by construction."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets import keys
from assets.checks import LEAD_PLACEBO_IS_NULL, check_result, markdown
from assets.identification import LEAD_PLACEBO
from assets.status import EVALUATED, load_refresh, read_panel_status, write_family
from models.outcomes import NOT_EVALUATED, outcome_of

#: Separates the random numbers of the placebos from those of the fits, which share the seed of the settings.
_SEED_STREAM = 1


@dg.asset(
    key=keys.PLACEBO_RESULTS,
    group_name=keys.ROBUSTNESS,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.CONSUMER_PANEL],
    check_specs=[LEAD_PLACEBO_IS_NULL],
)
def placebo_results(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Lead placebo (future exposure) and swapped histories of look-alikes, per channel, with a verdict each."""
    from orchestration.resources.artefacts import write_artefact

    refresh = load_refresh()
    status = read_panel_status(refresh)
    if not status.is_evaluated:
        write_family(refresh, keys.FAMILY_PLACEBO, status.status, status.reason)
        write_artefact(
            refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date, None
        )
        yield dg.MaterializeResult(metadata={"status": status.status, "reason": status.reason})
        yield check_result(LEAD_PLACEBO_IS_NULL, NOT_EVALUATED, str(status.reason))
        return

    import numpy as np
    import pandas as pd

    from models.checks.base import combined
    from models.checks.placebo import history_swap_placebo, lead_placebo

    panel = refresh.read_panel()
    leads = lead_placebo(panel, refresh.lead_periods_count)
    swaps = history_swap_placebo(panel, np.random.default_rng([refresh.settings.seed, _SEED_STREAM]))
    results = pd.concat([leads, swaps.drop(columns="share_significant")], ignore_index=True)
    results["data_version"] = status.data_version
    write_artefact(refresh.artefacts_dir, "placebo_results", keys.FAMILY_PLACEBO, refresh.as_of_date, results)
    write_family(
        refresh,
        keys.FAMILY_PLACEBO,
        EVALUATED,
        None,
        {"placebo_results": results.astype({"passed": "boolean"})},
    )
    passed = combined(list(leads["passed"]))
    failed = [
        channel for channel, value in zip(leads["channel_id"], leads["passed"], strict=True) if value is False
    ]
    text = f"lead placebo failed for {', '.join(failed)}" if failed else f"lead placebo {outcome_of(passed)}"
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(results),
            "lead_periods_count": refresh.lead_periods_count,
            "results": markdown(results.drop(columns="data_version")),
        }
    )
    yield check_result(
        LEAD_PLACEBO_IS_NULL,
        outcome_of(passed),
        text,
        channels_failed=failed,
        placebos_of_kind=LEAD_PLACEBO,
    )
