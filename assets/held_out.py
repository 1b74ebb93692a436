"""Held-out accuracy of the challenger: what the promotion gate asks of every refresh."""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.hbmmm import read_fit_pointer
from assets.status import EVALUATED, Refresh, load_refresh
from models.errors import ConvergenceError, PanelError
from models.outcomes import NOT_EVALUATED
from orchestration.resources.artefacts import write_json
from orchestration.resources.tracking import CHAMPION, Tracking

if TYPE_CHECKING:
    from models.hbmmm.config import HBMMMConfig

#: A panel shorter than so many times the held-out periods is no test of a forecast.
LEAST_PANEL = 3
_FILE = "held_out.json"


@dg.asset(
    key=keys.HELD_OUT_ACCURACY,
    group_name=keys.EVALUATION,
    kinds={"python"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def held_out_accuracy(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What the challenger's settings foresee of the last periods, beside seasonal naive and the champion's settings."""
    refresh = load_refresh()
    pointer = read_fit_pointer(refresh)
    challenger = pointer.get("model_version")
    served = Tracking.from_settings(refresh.settings).alias_version(keys.REGISTERED_HBMMM, CHAMPION)
    found = read_held_out(refresh)
    if (
        challenger is None
        or found.get("challenger") != challenger
        or served not in (found["rival"], challenger)
    ):
        rival = None if served == challenger else served
        found = _measure(refresh, pointer, rival) | {"challenger": challenger, "rival": rival}
        write_json(refresh.folder("evaluation") / _FILE, found)
    return dg.MaterializeResult(metadata={name: value for name, value in found.items() if value is not None})


def read_held_out(refresh: Refresh) -> dict[str, Any]:
    """What the asset left: `challenger` and `rival`, the version that it is compared with (None: there was none).

    `not_applicable` or `reason` says why there are no numbers. Kept for a challenger, so that running again compares it
    with the same rival although it may have become champion itself since.
    """
    path = refresh.folder("evaluation") / _FILE
    if not path.exists():
        return {"reason": "evaluation/held_out_accuracy was not materialised"}
    return json.loads(path.read_text(encoding="utf-8"))


def _measure(refresh: Refresh, pointer: dict[str, Any], rival: str | None) -> dict[str, Any]:
    if pointer["status"] != EVALUATED:
        return {"reason": str(pointer["reason"]), "status": NOT_EVALUATED}
    if pointer.get("outcome", "money") != "money":
        return {"not_applicable": f"predictions of outcome {pointer['outcome']} are not compared"}

    from models.evaluation.held_out import held_out_accuracy as measured
    from models.evaluation.model_comparison import HELD_OUT_PERIODS
    from models.hbmmm.fit import HBMMMFit

    panel, sizes = refresh.panel_sample(refresh.read_panel())
    periods, held_out = len(panel.period_starts), HELD_OUT_PERIODS[panel.period]
    if periods < LEAST_PANEL * held_out:
        return {
            "not_applicable": f"the panel has {periods} periods, and {held_out} are held out: fewer than "
            f"{LEAST_PANEL} times as many are no test of a forecast"
        }
    fit = HBMMMFit.load(refresh.artefacts_dir / "fits" / "hbmmm" / pointer["folder"] / "fit")
    try:
        found = measured(fit, panel, None if rival is None else _config_of(refresh, rival))
    except (PanelError, ConvergenceError) as error:
        return {"reason": str(error)}
    names = found.__dataclass_fields__
    return {name: getattr(found, name) for name in names} | sizes


def _config_of(refresh: Refresh, version: str) -> "HBMMMConfig | None":
    """Settings of the fit of a registered version; None where the home no longer holds it."""
    from models.hbmmm.config import HBMMMConfig

    for path in sorted(refresh.artefacts_dir.glob("fits/hbmmm/as_of_date=*/fit.json"), reverse=True):
        pointer = json.loads(path.read_text(encoding="utf-8"))
        complete = refresh.artefacts_dir / "fits" / "hbmmm" / str(pointer.get("folder")) / "complete.json"
        if pointer.get("model_version") == version and complete.exists():
            return HBMMMConfig(**json.loads(complete.read_text(encoding="utf-8"))["config"])
    return None
