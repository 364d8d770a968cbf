"""``explain``."""

from __future__ import annotations

import json

from tests.support.cli import run


def test_explain_names_node_and_replay() -> None:
    done = run("explain", "JSESSIONID=abc.node1", "--json")
    assert done.exit_code == 0
    first = json.loads(done.stdout)["findings"][0]
    assert (first["dialect"], first["node"], first["replay"]) == ("jvmroute", "node1", ".node1")
    assert "names node node1; replay JSESSIONID=.node1" in run("explain", "JSESSIONID=abc.node1").stdout


def test_explain_lists_dialects() -> None:
    assert "haproxy-insert" in run("explain", "--list").stdout.splitlines()
    assert "haproxy-insert" in json.loads(run("explain", "--list", "--json").stdout)


def test_explain_tells_alike_dialects_in_one_line() -> None:
    lines = run("explain", "JSESSIONID=abc.node1").stdout.splitlines()
    assert lines[0] == "JSESSIONID"
    assert lines[1].startswith("  jvmroute, apache-mod-jk, tomcat, undertow: names node node1; replay ")


def test_explain_fails_where_nothing_is_known() -> None:
    assert run("explain", "nothing").exit_code == 1


def test_what_a_terminal_would_obey_is_escaped() -> None:
    shown = run("explain", "SRV=\x9b31mn1\u202e").stdout
    assert r"replay SRV=\x9b31mn1\u202e" in shown
    assert all(line.isprintable() for line in shown.splitlines())
