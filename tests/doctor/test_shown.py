"""What is shown of a diagnosis."""

from __future__ import annotations

import json

import pytest

from lbcompanion.doctor import shown
from lbcompanion.doctor.advice import advice
from lbcompanion.doctor.judge import judge
from tests.support.doctor_model import Site, hashed, insert, nobody, source, tiers


@pytest.mark.slow
@pytest.mark.parametrize("choose", [insert(), hashed("sid"), tiers, nobody, source])
@pytest.mark.parametrize("companions", [True, False])
def test_no_secret_is_shown(choose, companions):
    from io import StringIO

    from rich.console import Console

    observed = Site(choose, companions=companions).look()
    found = judge(observed)
    told = advice(found, observed.origin)
    out = StringIO()
    Console(file=out, width=200).print(shown.report(observed, found, told))
    document = json.dumps(shown.document("https://www.example.com/", observed, found, told))
    assert "secret0" not in out.getvalue() + document + repr(observed) + repr(found)
