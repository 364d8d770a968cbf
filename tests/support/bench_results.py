"""Results of a benchmark as it would write them."""

from __future__ import annotations

from bench.targets import COMPANION


def result(*medians: float) -> dict[str, object]:
    def spread(middle: float) -> dict[str, float]:
        return {"median": middle, "min": middle / 2, "max": middle * 2}

    peers = {f"peer <{number}>": {"cpu_us": spread(middle)} for number, middle in enumerate(medians)}
    peers[COMPANION] = {
        "cpu_us": spread(5.0),
        "cpu_ratio": spread(1.5),
        "added_p50_us": {"median": -3, "min": -9, "max": 1},
    }
    return {
        "when": "2025-03-03T10:00:00Z",
        "python": "CPython & others",
        "how": {"rounds": 5},
        "disturbance": {"others_percent": 3.0},
        "figures": {"page-10k": peers},
        "memory": {COMPANION: {"growth_mb": 5.0, "stopped": True}},
    }
