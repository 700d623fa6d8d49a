"""report.html: one self-contained page from report.json and the report stage's folder.

Everything that is not our own markup goes through Jinja's escaping; the plots are ours and go in as they are. A content
security policy in the page forbids the network, and all scripts but our own one, which it knows by its hash: it saves
the decisions of the review section to a file.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from syneg.differences import probability, signed_points
from syneg.report import gantt

_SYSTEMS = {"bm25": "BM25", "base": "Base", "tuned": "Tuned", "adore": "ADORE"}


def render(report: Mapping[str, Any], content: Path) -> str:
    """The page as HTML text. `report` is what `assemble` returned, `content` the folder that the report stage wrote."""
    read = json.loads((content / "content.json").read_text(encoding="utf-8"))
    plots = [{**plot, "svg": Markup((content / f"{plot['name']}.svg").read_text("utf-8"))} for plot in read["plots"]]
    script = Path(__file__).with_name("review.js").read_text(encoding="utf-8")
    chart = gantt.draw(report["stages"])
    return template("template.html").render(
        report=report,
        systems={name: title for name, title in _SYSTEMS.items() if name in report["scores"]},
        intervals=intervals(report["differences"]),
        total_seconds=sum(stage["seconds"] for stage in report["stages"].values()),
        longest=max((stage["seconds"] for stage in report["stages"].values()), default=0) or 1,
        plots=plots,
        chart=Markup(chart) if chart else None,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        changes=read["changes"],
        readings=read["readings"],
        config=yaml.safe_dump(dict(report["config"]), sort_keys=False, allow_unicode=True),
    )


def template(name: str) -> jinja2.Template:
    """A template of this folder, which escapes all that is put into it, with the filters of both pages."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = {"count": _count, "seconds": _seconds, "points": signed_points, "p": probability}
    environment.filters |= {**numbers, "words": _words}
    return environment.get_template(name)


def intervals(differences: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Where each interval lies on one axis for all measures, in percent of its width; 0 is at `zero`."""
    ends = [0.0, *(found[end] for found in differences.values() for end in ("low", "high"))]
    width = max(ends) - min(ends) or 1.0

    def place(value: float) -> float:
        return round(4 + 92 * (value - min(ends)) / width, 2)

    return {
        measure: {
            "zero": place(0.0),
            "start": place(found["low"]),
            "width": round(place(found["high"]) - place(found["low"]), 2),
            "middle": place(found["difference"]),
        }
        for measure, found in differences.items()
    }


def _count(value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.3g}"


def _seconds(value: float) -> str:
    if round(value, 1) < 60:
        return f"{value:.1f} s"
    value = round(value)
    if value < 3600:
        return f"{value // 60} min {value % 60:02} s"
    return f"{value // 3600} h {value % 3600 // 60:02} min"


def _words(name: str) -> str:
    return name.replace("_", " ")
