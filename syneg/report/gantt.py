"""When each stage ran, as one inline SVG. Drawn by hand: the page is written without loading a plotting library."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Any

_LABEL, _WIDTH, _ROW = 130, 560, 22  # pixels of the drawing's own grid


def draw(stages: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A bar a stage that this run ran, from its start to its end on one clock; None if it ran none.

    `stages`: seconds, finished (ISO 8601) and reused by name. Those that were reused ran at another time and are left
    out.
    """
    spans = {}
    for name, stage in stages.items():
        if not stage["reused"] and stage.get("finished"):
            end = datetime.fromisoformat(stage["finished"])
            spans[name] = (end - timedelta(seconds=stage["seconds"]), end)
    if not spans:
        return None
    first = min(start for start, _ in spans.values())
    whole = max((end - first).total_seconds() for _, end in spans.values()) or 1.0
    rows = "".join(
        _bar(place, name, (start - first).total_seconds() / whole, (end - first).total_seconds() / whole, stages[name])
        for place, (name, (start, end)) in enumerate(spans.items())
    )
    height = _ROW * (len(spans) + 1)
    ticks = "".join(_tick(share, share * whole, height) for share in (0, 0.25, 0.5, 0.75, 1))
    return f'<svg viewBox="0 0 {_LABEL + _WIDTH + 60} {height}" font-size="12">{ticks}{rows}</svg>'


def _bar(place: int, name: str, start: float, end: float, stage: Mapping[str, Any]) -> str:
    x, width = _LABEL + start * _WIDTH, max(1.0, (end - start) * _WIDTH)
    y = place * _ROW
    return (
        f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end" fill="currentColor">{escape(name)}</text>'
        f'<path d="M{x:.1f} {y + 4}h{width:.1f}v{_ROW - 8}h-{width:.1f}z" fill="var(--plot-bm25, #0072b2)">'
        f"<title>{escape(name)}: {stage['seconds']:.1f} s</title></path>"
    )


def _tick(share: float, seconds: float, height: int) -> str:
    x = _LABEL + share * _WIDTH
    shown = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return (
        f'<path d="M{x:.1f} 0v{height - _ROW}" stroke="var(--plot-grid, #e3e7ee)" fill="none"/>'
        f'<text x="{x:.1f}" y="{height - 5}" text-anchor="middle" fill="currentColor">{shown}</text>'
    )
