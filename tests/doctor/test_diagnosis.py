"""The order of findings."""

from __future__ import annotations

from lbcompanion.doctor.diagnosis import Severity
from lbcompanion.doctor.judge import judge
from tests.support.doctor_model import NODES, Site, insert


def test_the_worst_is_told_first():
    told = judge(Site(insert(http_only=True, seconds=5.0), known=(*NODES, "n9")).look()).findings
    order = list(Severity)
    assert [order.index(one.severity) for one in told] == sorted(order.index(one.severity) for one in told)
