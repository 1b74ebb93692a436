"""One HTML page that needs nothing else: text, tables, charts' data and the library that draws them, in one file."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from models.outcomes import FAILED, NOT_EVALUATED, PASSED
from models.report.charts import channel_colors
from models.report.effect_sections import (
    channels_section,
    graph_section,
    markets_section,
    people_section,
    segments_section,
)
from models.report.estimands import ESTIMANDS
from models.report.evidence_sections import (
    checks_section,
    comparison_section,
    quality_section,
    robustness_section,
)
from models.report.health import judge
from models.report.tables import ReportTables
from models.report.wording import findings


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """What the footer says: title of the brand or source, period of the panel, versions by name."""

    title: str
    period: str
    versions: Mapping[str, str]


def render_report(tables: ReportTables, identity: ReportIdentity) -> str:
    """The page, equal for equal tables; reads nothing but its own template and the charts' library.

    Raises
    ------
    PanelError : no table has a row.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    newest = tables.newest()
    health = judge(newest)
    found = findings(newest.channel_effects)
    colors = channel_colors(sorted({str(c) for c in newest.channel_effects["channel_id"]}))
    sections = (
        channels_section(newest, colors),
        markets_section(newest, colors),
        segments_section(newest, colors),
        people_section(newest, colors),
        graph_section(newest),
        robustness_section(newest),
        comparison_section(newest),
        checks_section(health),
        quality_section(newest),
    )
    environment = Environment(
        loader=PackageLoader("models.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    specs = {chart.key: chart.spec for section in sections for chart in section.charts}
    return environment.get_template("page.html.j2").render(
        identity=identity,
        as_of_date=newest.as_of_date,
        findings=found,
        colors=colors,
        health=health,
        counts={
            "passed": health.counts[PASSED],
            "failed": health.counts[FAILED],
            "not evaluated": health.counts[NOT_EVALUATED],
        },
        identified=sum(not f.reason and f.verdict not in ("not_identified", "unknown") for f in found),
        sections=sections,
        estimands=ESTIMANDS,
        style=files("models.report").joinpath("templates/page.css").read_text(encoding="utf-8"),
        specs=json.dumps(specs, sort_keys=True, allow_nan=False).replace("</", "<\\/"),
        library=charts_library().replace("</script", "<\\/script"),
    )


@functools.cache
def charts_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the installed package: 0.9 MB."""
    import vl_convert

    return vl_convert.javascript_bundle()
