"""What the robustness suite keeps beside a fit: results by the hash of its own code, read again by later runs.

Refits take minutes, so a plain run shows what an earlier run of the same fit left, or says that nobody ran them. Files
lie in the folder of the fit, ``fits/hbmmm/fingerprint=<hash>/robustness=<hash of the suite>``: other data, settings or
code make another folder. No Dagster here.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets import keys
from assets.status import Refresh, read_parquet
from orchestration.resources.artefacts import write_frame
from orchestration.resources.progress import progress_writer
from orchestration.resources.tracking import Tracking, log_figures, log_tables

if TYPE_CHECKING:
    import pandas as pd

    from models.hbmmm.fit import HBMMMFit
    from models.panel import ConsumerPanel

HOW_TO_RUN = "run job run_robustness, or set MEDIAMIX_ROBUSTNESS_REFITS=true"
#: Reason of panel rows that are put back when panels are padded to the end of the data.
NO_LATER_ACTIVITY = "no_later_activity"
_SUITE_PACKAGES = ("baselines", "checks", "effects", "evaluation")


@dataclass(frozen=True)
class RobustnessInput:
    """A fit, its panel, the folder for results, and whether refits may be run."""

    refresh: Refresh
    pointer: dict[str, Any]
    refits: bool

    @property
    def fit_folder(self) -> Path:
        """Folder of the fit."""
        return self.refresh.artefacts_dir / "fits" / "hbmmm" / self.pointer["folder"]

    @property
    def folder(self) -> Path:
        """Where results of this fit by this version of the suite lie."""
        return self.fit_folder / f"robustness={suite_hash()}"

    @property
    def sizes(self) -> dict[str, int]:
        """Consumers that refits see, and consumers of the fit."""
        everybody = int(self.pointer["facts"]["consumers_count"])
        most = self.refresh.settings.second_opinion_consumers_count
        return {"consumers_count": min(everybody, most), "consumers_in_panel": everybody}

    def fit(self) -> "HBMMMFit":
        """The fit itself."""
        from models.hbmmm.fit import HBMMMFit

        return HBMMMFit.load(self.fit_folder / "fit")

    def fit_and_panel(self) -> "tuple[HBMMMFit, ConsumerPanel]":
        """What refits start from: the fit and its panel; of many consumers a sample, with a fit of its own.

        Hundreds of refits of half a million consumers would outlast a month's night. The sample is that of the second
        opinions, its fit a normal approximation at the mode, as the refits are.
        """
        whole = self.refresh.read_panel()
        panel, _ = self.refresh.panel_sample(whole)
        return (self.fit() if panel is whole else self._sampled_fit(panel)), panel

    def _sampled_fit(self, panel: "ConsumerPanel") -> "HBMMMFit":
        from models.errors import NotFittedError
        from models.hbmmm.fit import HBMMMFit, fit_hbmmm
        from models.hbmmm.statistics import SufficientStatistics

        kept = self.folder / "sampled_fit"
        try:
            return HBMMMFit.load(kept)
        except NotFittedError:
            config = replace(self.fit().config, inference="laplace")
            fitted = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, config)
            fitted.save(kept)
            return fitted


def suite_hash() -> str:
    """Hash of the code that the results depend on, beside what the fit's own fingerprint covers."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    recipes = [root / "assets" / name for name in ("robustness_fits.py", "carryover.py")]
    suite = sorted(p for package in _SUITE_PACKAGES for p in (root / "models" / package).rglob("*.py"))
    for path in [*recipes, *suite]:
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def checks_table(given: RobustnessInput) -> "pd.DataFrame":
    """Rows of robustness_checks: kept, computed now, or one a channel that says how to get them."""
    import pandas as pd

    path = given.folder / "checks.parquet"
    if path.exists():
        return read_parquet(path, "run it again")
    if not given.refits:
        fit = given.fit()
        rows = {"specification_kind": "baseline", "specification": "baseline", "estimand": "slope"}
        reason = f"not evaluated: {HOW_TO_RUN}"
        return pd.DataFrame([rows | {"channel_id": c, "reason": reason} for c in fit.design.channel_ids])

    from models.checks.robustness import robustness_checks
    from models.evaluation.splits import of_consumers

    progress = progress_writer(given.refresh.settings.home, "robustness__robustness_checks")
    fit, panel = given.fit_and_panel()
    padded = of_consumers(given.refresh.read_panel(with_excluded=NO_LATER_ACTIVITY), panel.consumer_ids)
    table = robustness_checks(fit, panel, padded_panel=padded, progress=progress)
    write_frame(path, table.astype(dict.fromkeys(_TRUTHS, "boolean")))
    return table


_TRUTHS = ("sign_holds", "order_holds", "interval_holds_baseline")


def placebo_table(given: RobustnessInput) -> "pd.DataFrame":
    """Rows of placebo_refits: run now (replicates kept before are not repeated), kept, or how to get them."""
    import pandas as pd

    from models.checks.placebo_refits import KINDS

    path = given.folder / "placebo.parquet"
    if given.refits:
        fit, panel = given.fit_and_panel()
        table = pd.concat([_placebo_of_kind(given, fit, panel, kind) for kind in KINDS], ignore_index=True)
        write_frame(path, table.astype({"passed": "boolean"}))
        return table
    if path.exists():
        return read_parquet(path, "run it again")
    row = {"estimand": "slope", "replicates_count": 0, "reason": f"not evaluated: 0 replicates; {HOW_TO_RUN}"}
    channels = given.fit().design.channel_ids
    return pd.DataFrame([row | {"placebo_kind": kind, "channel_id": c} for kind in KINDS for c in channels])


def _placebo_of_kind(
    given: RobustnessInput, fit: "HBMMMFit", panel: "ConsumerPanel", kind: str
) -> "pd.DataFrame":
    """One kind of placebo; replicates are kept after each batch, so that a killed run goes on where it was."""
    from models.checks.placebo_refits import KINDS, placebo_by_refits

    settings = given.refresh.settings
    path = given.folder / f"{kind}.parquet"
    tell = progress_writer(settings.home, "robustness__placebo_refits")
    number = KINDS.index(kind)
    return placebo_by_refits(
        fit,
        panel,
        kind,
        settings.placebo_replicates_count,
        processes_count=settings.fit_processes_count,
        known=read_parquet(path, "run it again") if path.exists() else None,
        save=lambda frame: write_frame(path, frame),
        progress=lambda text, share: tell(f"{kind}: {text}", (number + share) / len(KINDS)),
    )


def comparison_table(given: RobustnessInput) -> "pd.DataFrame":
    """Rows of model_comparison: kept, computed now, or one a kind of split and method that says how to get them."""
    from models.evaluation.model_comparison import compare_models, not_evaluated

    path = given.folder / "comparison.parquet"
    if path.exists():
        return read_parquet(path, "run it again")
    if not given.refits:
        return not_evaluated(HOW_TO_RUN)
    progress = progress_writer(given.refresh.settings.home, "evaluation__model_comparison")
    table = compare_models(*given.fit_and_panel(), progress=progress)
    write_frame(path, table)
    return table


def log_robustness(
    given: RobustnessInput,
    tables: "dict[str, pd.DataFrame]",
    figures: dict[str, bytes],
    metrics: dict[str, float] | None = None,
) -> None:
    """Put tables, pictures and numbers into the MLflow run of the fit."""
    run_id = given.pointer.get("run_id")
    if run_id is None:
        return
    with Tracking.from_settings(given.refresh.settings).run(
        keys.FAMILY_HBMMM, "robustness", run_id=run_id
    ) as mlflow:
        log_figures(mlflow, figures)
        log_tables(mlflow, tables, "robustness")
        mlflow.log_metrics(metrics or {})
