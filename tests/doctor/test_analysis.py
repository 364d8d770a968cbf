"""From what was seen to what it means: every kind of site as data, through plan, judge and advice."""

from __future__ import annotations

from hashlib import sha256

import pytest
from attrs import evolve

from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.identity import Certainty
from lbcompanion.doctor.observations import RequestKind
from tests.support.doctor_model import NODES, ModelSite, codes, configuration, hashed, insert


def test_an_inserted_cookie_is_proven():
    found = analyse(ModelSite(insert(), known=NODES).probe())
    assert (found.sticky, found.sticks_by, found.certainty) == (True, ("SRV",), Certainty.PROVEN)
    assert [one.name for one in found.nodes] == list(NODES)
    assert codes(found) == {"replay"}
    assert {one.node for one in found.replays} == set(NODES)
    assert all(one.matches == one.tries == 3 for one in found.replays)
    settings = {one.set_cookie.name: one.sticks for one in found.cookies}
    assert settings == {"SRV": True, "sid": None}
    assert configuration(found)["dialect"] == "haproxy-insert"
    assert set(configuration(found)["nodes"]) == set(NODES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DokuWiki", "fe_typo_user", "frontend", "zenid", "d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55"])
@pytest.mark.parametrize("companions", [True, False])
def test_a_session_under_any_name_is_reported_and_not_advised_to_be_recorded(name, companions):
    def written(response, turn):
        set_cookie = (evolve(one, value=sha256(one.value.encode()).hexdigest()[:32]) for one in response.set_cookies)
        return evolve(response, set_cookies=tuple(set_cookie))

    found = analyse(ModelSite(hashed(name), session=name, companions=companions, change=written).probe())
    assert [one.credential for one in found.cookies] == [True]
    if companions:
        assert "session" in codes(found)
        assert (configuration(found)["dialect"], configuration(found)["cookies"]) == ("generic", [name])


@pytest.mark.parametrize(
    ("path", "write"),
    [
        ("/", lambda text: text[:12]),
        ("/", lambda text: text[:8]),
        ("/shop/page", lambda text: f"user-{int(text[:3], 16):04}"),
        ("/shop/page", lambda text: f"{int(text[:4], 16):05}-{int(text[4:8], 16):05}"),
    ],
)
def test_a_short_value_of_each_visitor_is_a_session(path, write):
    """Companions hand out no cookie, so only the application can have set it."""

    def written(response, turn):
        set_cookie = (evolve(one, value=write(sha256(one.value.encode()).hexdigest())) for one in response.set_cookies)
        return evolve(response, set_cookies=tuple(set_cookie))

    found = analyse(ModelSite(hashed("app"), session="app", path=path, change=written).probe())
    assert "session" in codes(found)
    assert configuration(found)["dialect"] == "generic"


@pytest.mark.parametrize("path", ["/", "/shop/page"])
def test_a_balancers_cookie_that_only_pages_get_is_not_a_session(path):
    found = analyse(ModelSite(insert(), session="", path=path, given_at=(RequestKind.PAGE, RequestKind.ROOT)).probe())
    assert "session" not in codes(found)
    assert configuration(found)["dialect"] == "haproxy-insert"
