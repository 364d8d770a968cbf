"""By what the doctor tells nodes apart."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.identity import Certainty
from tests.support.doctor_model import NODES, ModelSite, codes, configuration, insert, nobody


def test_without_the_secret_it_is_told_not_proven():
    found = analyse(ModelSite(insert(), secret=False).probe())
    assert (found.sticky, found.certainty) == (True, Certainty.CLAIMED)
    assert "not-proven" in codes(found)


@pytest.mark.slow
def test_without_companions_it_is_guessed():
    found = analyse(ModelSite(insert(), companions=False, secret=False).probe())
    assert (found.sticky, found.sticks_by, found.certainty) == (True, ("SRV",), Certainty.GUESSED)
    assert "no-companions" in codes(found)
    assert "nodes" not in configuration(found)
    assert [one.name for one in found.nodes] == list(NODES)


def test_a_header_that_names_the_node_helps():
    def named(response, turn):
        return evolve(response, headers=(*response.headers, ("x-served-by", NODES[turn % 3])))

    found = analyse(ModelSite(nobody, companions=False, change=named).probe())
    assert (found.sticky, found.certainty) == (False, Certainty.GUESSED)
    assert "no-stickiness" in codes(found)
    assert [one.name for one in found.nodes] == list(NODES)


@pytest.mark.slow
def test_a_lack_of_evidence_is_reported():
    found = analyse(ModelSite(nobody, companions=False).probe())
    assert (found.sticky, found.nodes) == (False, ())
    assert "cannot-tell" in codes(found)
