"""The configuration that the doctor advises."""

from __future__ import annotations

from hashlib import sha256

import pytest
from attrs import evolve

from lbcompanion.doctor.advice import reads
from lbcompanion.doctor.judge import judge
from lbcompanion.doctor.observed import Given
from lbcompanion.settings import StickyTable
from tests.support.doctor_model import NODES, Site, codes, configuration, hashed, insert, nobody


def test_no_stickiness():
    found = judge(Site(nobody).look())
    assert not found.sticky
    assert codes(found) == {"no-stickiness"}
    assert configuration(found)["ladder"] == ["direct", "any"]
    assert {one.given.name: one.sticks for one in found.cookies} == {"sid": False}


def test_the_applications_cookie_may_be_the_key():
    found = judge(Site(hashed("sid")).look())
    assert (found.sticky, found.sticks_by, found.invented) == (True, ("sid",), False)
    assert "session" in codes(found)
    assert (configuration(found)["dialect"], configuration(found)["cookies"]) == ("generic", ["sid"])


def test_a_balancers_opaque_cookie_under_a_name_of_its_own_is_no_session():
    def written(answer, turn):
        given = (evolve(one, value=sha256(one.value.encode()).hexdigest()[:16]) for one in answer.given)
        return evolve(answer, given=tuple(given))

    hashes = {sha256(node.encode()).hexdigest()[:16]: node for node in NODES}

    def choose(cookies, turn):
        node = hashes.get(cookies.get("_1a2b3", ""))
        return (node, ()) if node else (NODES[turn % 3], (Given("_1a2b3", NODES[turn % 3]),))

    found = judge(Site(choose, session="", change=written).look())
    assert [one.credential for one in found.cookies] == [False]
    assert "session" not in codes(found)
    assert configuration(found)["dialect"] == "traefik"


@pytest.mark.parametrize(("cookies", "known"), [(("SRV",), True), (("OTHER",), False), ((), False)])
def test_a_configuration_in_use_is_compared(cookies, known):
    assert reads(StickyTable(cookies=cookies), judge(Site(insert()).look())) is known
