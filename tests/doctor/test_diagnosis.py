"""The order of findings."""

from __future__ import annotations

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.diagnosis import Severity
from tests.support.doctor_model import NODES, ModelSite, insert


def test_the_worst_is_reported_first():
    told = analyse(ModelSite(insert(http_only=True, seconds=5.0), known=(*NODES, "n9")).probe()).findings
    order = list(Severity)
    assert [order.index(one.severity) for one in told] == sorted(order.index(one.severity) for one in told)
