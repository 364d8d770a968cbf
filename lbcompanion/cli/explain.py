"""The command ``explain``: which balancer wrote a cookie, and which node it names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from lbcompanion.cli.arguments import FAILED, json_option

if TYPE_CHECKING:
    from lbcompanion.sticky.explain import Finding


@click.command()
@click.argument("cookie_header", required=False)
@click.option("--list", "list_all", is_flag=True, help="List all dialects.")
@json_option
def explain(cookie_header: str | None, list_all: bool, as_json: bool) -> None:
    """Show which dialects could have written these cookies, which node they name, and the smallest replay.

    COOKIE_HEADER is what a browser sends: "SRV=n1; JSESSIONID=abc.node1".
    """
    from lbcompanion.logs import printable
    from lbcompanion.sticky import dialects
    from lbcompanion.sticky.explain import explain as explain_header

    if list_all:
        names = dialects.known_names()
        click.echo(json.dumps(names) if as_json else "\n".join(names))
        return
    if cookie_header is None:
        raise click.UsageError("COOKIE_HEADER is needed, or --list")
    findings = explain_header(cookie_header)
    if as_json:
        click.echo(json.dumps({"findings": [_finding(finding) for finding in findings]}))
    else:
        for line in _finding_lines(findings):
            click.echo(printable(line))
    if not any(finding.dialect for finding in findings):
        sys.exit(FAILED)


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(
        finding, value_serializer=lambda _, __, value: value.name.lower() if isinstance(value, Enum) else value
    )


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    cookie = ""
    # Many dialects accept any text and give the same result: print one line for all of them.
    for (name, node, replay, note), group in groupby(
        findings, lambda finding: (finding.cookie, finding.node, finding.replay, finding.note)
    ):
        if name != cookie:
            cookie = name
            yield cookie
        dialects = ", ".join(finding.dialect for finding in group)
        if not replay:
            yield f"  {dialects}: {note}" if dialects else f"  {note}"
            continue
        names_node = "does not tell the node" if node is None else f"names node {node}"
        yield f"  {dialects}: {names_node}; replay {name}={replay}  ({note})"
    if not findings:
        yield "the header contains no cookie"
