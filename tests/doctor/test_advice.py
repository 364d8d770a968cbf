"""The configuration that the doctor advises."""

from __future__ import annotations

from hashlib import sha256

import pytest
from attrs import evolve

from lbcompanion.doctor.advice import knows_cookies
from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.observations import ParsedSetCookie
from lbcompanion.settings import StickyTable
from tests.support.doctor_model import NODES, ModelSite, codes, configuration, hashed, insert, nobody


def test_no_stickiness():
    found = analyse(ModelSite(nobody).probe())
    assert not found.sticky
    assert codes(found) == {"no-stickiness"}
    assert configuration(found)["ladder"] == ["direct", "any"]
    assert {one.set_cookie.name: one.sticks for one in found.cookies} == {"sid": False}


def test_the_applications_cookie_may_be_the_key():
    found = analyse(ModelSite(hashed("sid")).probe())
    assert (found.sticky, found.sticks_by, found.invented) == (True, ("sid",), False)
    assert "session" in codes(found)
    assert (configuration(found)["dialect"], configuration(found)["cookies"]) == ("generic", ["sid"])


def test_a_balancers_opaque_cookie_under_a_name_of_its_own_is_no_session():
    def written(response, turn):
        set_cookie = (evolve(one, value=sha256(one.value.encode()).hexdigest()[:16]) for one in response.set_cookies)
        return evolve(response, set_cookies=tuple(set_cookie))

    hashes = {sha256(node.encode()).hexdigest()[:16]: node for node in NODES}

    def choose(cookies, turn):
        node = hashes.get(cookies.get("_1a2b3", ""))
        return (node, ()) if node else (NODES[turn % 3], (ParsedSetCookie("_1a2b3", NODES[turn % 3]),))

    found = analyse(ModelSite(choose, session="", change=written).probe())
    assert [one.credential for one in found.cookies] == [False]
    assert "session" not in codes(found)
    assert configuration(found)["dialect"] == "traefik"


@pytest.mark.parametrize(("cookies", "known"), [(("SRV",), True), (("OTHER",), False), ((), False)])
def test_a_configuration_in_use_is_compared(cookies, known):
    assert knows_cookies(StickyTable(cookies=cookies), analyse(ModelSite(insert()).probe())) is known
