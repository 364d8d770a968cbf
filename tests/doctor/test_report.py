"""The report of a diagnosis."""

from __future__ import annotations

import json

import pytest

from lbcompanion.doctor import report
from lbcompanion.doctor.advice import advice
from lbcompanion.doctor.analysis import analyse
from tests.support.doctor_model import ModelSite, hashed, insert, nobody, source, tiers


@pytest.mark.slow
@pytest.mark.parametrize("choose", [insert(), hashed("sid"), tiers, nobody, source])
@pytest.mark.parametrize("companions", [True, False])
def test_no_secret_is_shown(choose, companions):
    from io import StringIO

    from rich.console import Console

    observations = ModelSite(choose, companions=companions).probe()
    found = analyse(observations)
    told = advice(found, observations.origin)
    out = StringIO()
    Console(file=out, width=200).print(report.report(observations, found, told))
    json_document = json.dumps(report.json_document("https://www.example.com/", observations, found, told))
    assert "secret0" not in out.getvalue() + json_document + repr(observations) + repr(found)
