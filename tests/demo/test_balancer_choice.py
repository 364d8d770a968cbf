"""The values of ``--balancer``, and the balancers that they select."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.demo.backends import Backend
from lbcompanion.demo.balancer_choice import AUTO, BUILTIN, PROGRAMS, choose_balancer, label_of
from lbcompanion.errors import ConfigError
from lbcompanion.sticky.dialects import known_names

BACKENDS = [Backend("n1", "127.0.0.1:8001", "127.0.0.1:9001"), Backend("n2", "127.0.0.1:8002")]


def installed(name: str) -> str | None:
    return f"/usr/sbin/{name}"


def missing(name: str) -> str | None:
    return None


def test_an_unknown_balancer_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match="--balancer is nginx; allowed: auto, builtin, haproxy"):
        choose_balancer("nginx", installed)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_missing_one_too(name: str) -> None:
    assert choose_balancer(name, installed) == name
    with pytest.raises(ConfigError, match=r"auto or builtin, as no .* program is installed"):
        choose_balancer(name, missing)


def test_auto_takes_what_there_is() -> None:
    assert choose_balancer(AUTO, installed) == "haproxy"
    assert choose_balancer(AUTO, missing) == BUILTIN


def test_the_built_in_one_is_always_there() -> None:
    assert choose_balancer(BUILTIN, missing) == BUILTIN


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_entry_is_whole(name: str) -> None:
    kind = PROGRAMS[name]
    text = kind.configuration(8000, BACKENDS, "SRV")
    assert all(part in text for part in ("8000", "SRV", *(one.address for one in BACKENDS)))
    assert kind.command("/program", Path("/file"))[0] == "/program"
    assert kind.dialect in known_names()
    assert label_of(name) == kind.label


def test_two_ways_of_haproxy_differ_in_the_cookie() -> None:
    assert label_of("haproxy") == "HAProxy, cookie SRV insert"
    hidden = PROGRAMS["haproxy-indirect"].configuration(8000, BACKENDS, "SRV")
    assert "    cookie SRV insert indirect nocache httponly" in hidden.splitlines()
