"""Several crawlers on one PostgreSQL are measured, and one of them is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.crawler.shared import measure, verdicts
from tests.support.programs import need_program


@pytest.mark.slow
@pytest.mark.programs
def test_a_small_run(tmp_path: Path) -> None:
    need_program("haproxy")
    need_program("postgres")
    found = measure(tmp_path, 2, 1, 20, 2.0, lambda _text: None)
    assert {*found["figures"]} == {"1", "2"}
    for by in found["figures"].values():
        assert {*by} == {"per_second", "cpu_us", "server_cpu_us"}
        assert all(each["median"] > 0 and len(each["rounds"]) == 1 for each in by.values())
    assert found["recovery"]["claimed"] > 0
    assert len(verdicts(found)) == 1


def test_the_time_of_a_recovery_is_judged_by_the_lease() -> None:
    def holds(seconds: float) -> bool | None:
        recovery = {"crawlers": 4, "claimed": 7, "seconds": seconds, "lease_seconds": 60.0}
        (verdict,) = verdicts({"recovery": recovery})
        assert verdict.found == f"7 pages in {seconds:.1f} s"
        return verdict.holds

    assert holds(65.0)
    assert not holds(75.0)
