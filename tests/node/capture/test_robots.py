"""robots.txt: every group keeps out of what is ours, and says otherwise what it said."""

from __future__ import annotations

from urllib.robotparser import RobotFileParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.capture.robots import add_rules, default_robots
from tests.support.in_memory_node import InMemoryNode, read_responses, request

AGENTS = ["Googlebot", "bingbot", "other"]


def parsed(text: bytes) -> RobotFileParser:
    parser = RobotFileParser()
    parser.parse(text.decode().splitlines())
    return parser


def test_alone() -> None:
    parser = parsed(default_robots(b"/_lbc"))
    assert not parser.can_fetch("any", "http://a/_lbc/page/x")
    assert parser.can_fetch("any", "http://a/x")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Sitemap: http://a/s.xml",
        b"User-agent: *\nDisallow:\n",
        b"User-agent: *\nAllow: /\n",
        b"user-AGENT : Googlebot\r\nUser-agent: bingbot\r\nDisallow: /a\r\n\r\nUser-agent: other # me\r\nAllow: /\r\n",
        b"# only a comment\n",
        b"User-agent: Googlebot",
    ],
)
def test_every_agent_keeps_out(text: bytes) -> None:
    parser = parsed(add_rules(text, b"/_lbc"))
    for agent in [*AGENTS, "unheard-of"]:
        assert not parser.can_fetch(agent, "http://a/_lbc/page/x"), agent


_GROUP = st.tuples(st.sampled_from([*AGENTS, "*"]), st.lists(st.sampled_from(["/a", "/b/", "/c"]), max_size=2))


@given(st.lists(_GROUP, max_size=4, unique_by=lambda group: group[0]))
def test_everything_else_is_allowed_as_before(groups: list[tuple[str, list[str]]]) -> None:
    lines = []
    for agent, paths in groups:
        lines += [f"User-agent: {agent}", *(f"Disallow: {path}" for path in paths or ["/none"]), ""]
    text = "\n".join(lines).encode()
    before, after = parsed(text), parsed(add_rules(text, b"/_lbc"))
    for agent in AGENTS:
        assert not after.can_fetch(agent, "http://a/_lbc/whoami")
        for path in ("/", "/a", "/b/x", "/c", "/d"):
            assert after.can_fetch(agent, f"http://a{path}") == before.can_fetch(agent, f"http://a{path}")


def rules_of(text: bytes) -> dict[str, list[str]]:
    """The rules of each agent, by RFC 9309 sections 2.2.1 and 2.2.4: only rules end the list of a group's agents."""
    found: dict[str, list[str]] = {}
    agents: list[str] = []
    are_open = False
    for line in text.decode("utf-8-sig").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "user-agent":
            agents = [*agents, value.strip()] if are_open else [value.strip()]
            are_open = True
            found.setdefault(value.strip(), [])
        elif key.strip().lower() in {"allow", "disallow"}:
            are_open = False
            for agent in agents:
                found[agent].append(line.strip())
    return found


@given(
    st.lists(
        st.sampled_from(
            [
                *("User-agent: Googlebot", "User-agent: bingbot", "user-agent: *", "Disallow: /", "Allow: /a"),
                *("Crawl-delay: 5", "Sitemap: http://a/s.xml", "Noindex: /x", "", "# a comment", "rubbish"),
            ]
        ),
        max_size=9,
    ),
    st.sampled_from((b"", b"\xef\xbb\xbf")),
)
def test_other_records_do_not_end_a_group(lines: list[str], mark: bytes) -> None:
    text = mark + "\n".join(lines).encode()
    before, after = rules_of(text), rules_of(add_rules(text, b"/_lbc"))
    added = ["Disallow: /_lbc/", "Disallow: /*-/_lbc/"]
    for agent in (*before, "*"):
        assert set(added) <= set(after[agent])
        assert [rule for rule in after[agent] if rule not in added] == before.get(agent, [])
    assert set(after) == {*before, "*"}


def test_a_text_that_breaks_off_reaches_the_visitor_as_it_came() -> None:
    companion = InMemoryNode()
    companion.application.answers(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nUser-agent: a\n", then="end"
    )
    visitor = companion.connect()
    visitor.send(request(b"/robots.txt"))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof or visitor.closed)
    assert (answer.body, answer.complete) == (b"User-agent: a\n", False)
