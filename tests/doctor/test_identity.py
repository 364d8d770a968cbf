"""By what the doctor tells nodes apart."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.identity import Basis
from lbcompanion.doctor.judge import judge
from tests.support.doctor_model import NODES, Site, codes, configuration, insert, nobody


def test_without_the_secret_it_is_told_not_proven():
    found = judge(Site(insert(), secret=False).look())
    assert (found.sticky, found.basis) == (True, Basis.TOLD)
    assert "not-proven" in codes(found)


@pytest.mark.slow
def test_without_companions_it_is_guessed():
    found = judge(Site(insert(), companions=False).look())
    assert (found.sticky, found.sticks_by, found.basis) == (True, ("SRV",), Basis.GUESSED)
    assert "no-companions" in codes(found)
    assert "nodes" not in configuration(found)
    assert [one.name for one in found.nodes] == list(NODES)


def test_a_header_that_names_the_node_helps():
    def named(answer, turn):
        return evolve(answer, headers=(*answer.headers, ("x-served-by", NODES[turn % 3])))

    found = judge(Site(nobody, companions=False, change=named).look())
    assert (found.sticky, found.basis) == (False, Basis.GUESSED)
    assert "no-stickiness" in codes(found)
    assert [one.name for one in found.nodes] == list(NODES)


def test_where_nothing_tells_that_is_told():
    found = judge(Site(nobody, companions=False).look())
    assert (found.sticky, found.nodes) == (False, ())
    assert "cannot-tell" in codes(found)
