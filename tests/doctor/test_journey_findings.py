from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.doctor.diagnosis import Severity
from lbcompanion.doctor.journey_findings import journey_findings
from lbcompanion.doctor.observations import DONE, Journey, Observations, ProbeResponse, RequestKind, UpstreamUse

ORIGIN = "http://www.example.com"
WHOLE = Journey(DONE, "", ORIGIN, DONE, f"{ORIGIN}/-/_lbc/fetch-from", DONE, "fetched", True, True)


def found(
    journey: Journey | None, host: str = "www.example.com", agent: str = "doctor", seen: bool = True
) -> dict[str, Severity]:
    fields = (("host", host), ("user-agent", agent)) if seen else ()
    responses = (ProbeResponse(RequestKind.WHOAMI, 200, node="n1", seen=fields),)
    observations = Observations(ORIGIN, "/shop", without_cookie=responses, user_agent="doctor", journey=journey)
    return {finding.code: finding.severity for finding in journey_findings(observations)}


def test_all_is_well() -> None:
    assert found(WHOLE) == found(WHOLE, seen=False) == {"journey": Severity.GOOD}
    assert found(evolve(WHOLE, fetch="misrouted")) == {"journey": Severity.GOOD}
    assert found(None) == {}


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"page": "no tag", "script": "", "notice": ""}, {"not-injected"}),
        ({"page": "not HTML", "script": "", "notice": ""}, {"not-injected"}),
        ({"page": "status 503", "script": "", "notice": ""}, set()),
        ({"forbidden": "script-src"}, {"script-forbidden"}),
        ({"script": "status 404"}, {"script-blocked"}),
        ({"notice": "status 403"}, {"notice-blocked"}),
        ({"fetch": "status 403", "fetch_proven": False, "confirmed": None}, {"fetch-refused"}),
        ({"fetch": "unproven", "fetch_proven": False, "confirmed": None}, {"fetch-refused"}),
        ({"fetch": "timeout", "fetch_proven": False, "confirmed": None}, {"fetch-refused"}),
        ({"fetch": "digest"}, {"altered"}),
        ({"confirmed": False}, {"confirmation-refused"}),
        ({"fetch": "", "fetch_proven": False, "confirmed": None}, set()),
        ({"page_origin": "https://www.example.com"}, {"page-origin"}),
        ({"page": "status 429", "script": "", "notice": ""}, {"journey-unknown"}),
        ({"script": "status 429", "notice": "status 429"}, {"journey-unknown"}),
        ({"notice": "status 429", "fetch": "status 429", "fetch_proven": False}, {"journey-unknown"}),
        ({"script": "status 404", "notice": "status 429"}, {"script-blocked", "journey-unknown"}),
    ],
)
def test_each_border(change: dict[str, object], codes: set[str]) -> None:
    assert found(evolve(WHOLE, **change)).keys() == codes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("use", "expected", "words"),
    [
        (UpstreamUse("n1", 0, 0, 0, 0, 500), {}, ""),
        (UpstreamUse("n1", 0, 8, 8, 200, 500), {"few-workers": Severity.NOTE}, "serve 8 connections"),
        (UpstreamUse("n1", 64, 64, 8, 0, 500), {"cap-above-workers": Severity.WARNING}, "serve 8 at a time"),
        (UpstreamUse("n1", 128, 32, 8, 0, 500), {"cap-above-workers": Severity.WARNING}, "in each process"),
        (UpstreamUse("n1", 10, 10, 8, 200, 500), {"cap-fits": Severity.GOOD}, "serve 8 at a time"),
        (UpstreamUse("n1", 2, 2, 0, 200, 500), {"cap-below-workers": Severity.WARNING}, "200 of 500 requests"),
        (UpstreamUse("n1", 2, 2, 0, 1, 500), {"cap-unknown": Severity.NOTE}, "cannot be told"),
        (UpstreamUse("n1", 2, 2, 0, 0, 0), {"cap-unknown": Severity.NOTE}, "cannot be told"),
    ],
)
def test_the_cap_of_connections_is_compared_with_the_workers(
    use: UpstreamUse, expected: dict[str, Severity], words: str
) -> None:
    observations = Observations(ORIGIN, "/shop", journey=evolve(WHOLE, upstream=use))
    findings = [finding for finding in journey_findings(observations) if finding.code != "journey"]
    assert {finding.code: finding.severity for finding in findings} == expected
    assert words in "".join(finding.text for finding in findings)


def test_a_replaced_host_matters_if_the_pages_address_is_wrong() -> None:
    assert found(WHOLE, host="farm") == {"host-replaced": Severity.NOTE, "journey": Severity.GOOD}
    assert found(evolve(WHOLE, page_origin="http://farm"), host="farm") == {"host-replaced": Severity.WARNING}


@pytest.mark.parametrize("agent", ["", "proxy/1.0"])
def test_user_agent(agent: str) -> None:
    assert found(WHOLE, agent=agent).keys() == {"user-agent-replaced"}


def test_causes_of_403_name_the_host_only_if_it_may_be_the_cause() -> None:
    def text(host: str) -> str:
        refused = evolve(WHOLE, fetch="status 403", fetch_proven=False, confirmed=None)
        response = ProbeResponse(RequestKind.WHOAMI, 200, node="n1", seen=(("host", host),))
        observations = Observations(ORIGIN, "/", without_cookie=(response,), journey=refused)
        return " ".join(each.text for each in journey_findings(observations) if each.code == "fetch-refused")

    assert "Host" in text("farm")
    assert "Host" not in text("www.example.com")
    assert "Signature" in text("www.example.com")
