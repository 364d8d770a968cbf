"""The report of a diagnosis."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from attrs import evolve
from rich.console import Console

from lbcompanion.doctor import report
from lbcompanion.doctor.advice import advice
from lbcompanion.doctor.analysis import analyse
from tests.support.doctor_model import ModelSite, hashed, insert, nobody, source, tiers


@pytest.mark.slow
@pytest.mark.parametrize("choose", [insert(), hashed("sid"), tiers, nobody, source])
@pytest.mark.parametrize("companions", [True, False])
def test_no_secret_is_shown(choose, companions):
    observations = ModelSite(choose, companions=companions).probe()
    found = analyse(observations)
    told = advice(found, observations.origin)
    out = StringIO()
    Console(file=out, width=200).print(report.report(observations, found, told))
    json_document = json.dumps(report.json_document("https://www.example.com/", observations, found, told))
    assert "secret0" not in out.getvalue() + json_document + repr(observations) + repr(found)


def test_what_a_terminal_would_obey_is_escaped() -> None:
    observations = ModelSite(insert()).probe()
    found = analyse(observations)
    told = advice(found, observations.origin)
    hostile = "S\x1b[31mR\x9b31mV\u202e"
    cookies = [
        evolve(each, set_cookie=evolve(each.set_cookie, name=hostile, path=hostile, domain=hostile, same_site=hostile))
        for each in found.cookies
    ]
    nodes = [evolve(each, name=hostile) for each in found.nodes]
    out = StringIO()
    diagnosis = evolve(found, cookies=tuple(cookies), nodes=tuple(nodes), sticks_by=(hostile,))
    Console(file=out, width=300).print(report.report(observations, diagnosis, told))
    assert r"S\x1b[31mR\x9b31mV\u202e" in out.getvalue()
    assert all(line.isprintable() for line in out.getvalue().splitlines())
