"""What a benchmark claims, as its last line of JSON says it."""

import math
from typing import Any


def claim(name: str, ours: float, peer: float, at_least: float = 0.0, at_most: float = math.inf) -> dict[str, Any]:
    """The ratio of ours to the peer's, and whether it is within its target."""
    ratio = ours / peer
    figures = {"ours": round(ours, 3), "peer": round(peer, 3), "ratio": round(ratio, 3)}
    target = f">= {at_least:.3g}" if at_least else f"<= {at_most:.3g}"
    return {"name": name, **figures, "target": target, "holds": at_least <= ratio <= at_most}


def together(name: str, claims: list[dict[str, Any]]) -> dict[str, Any]:
    """The first one's figures under the benchmark's name; it holds where all do."""
    return claims[0] | {"name": name, "holds": all(each["holds"] for each in claims), "claims": claims}
