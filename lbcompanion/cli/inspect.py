"""Commands that look at cookies, copies and sites: ``explain``, ``fetch``, ``doctor``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from lbcompanion import config
from lbcompanion.cli.arguments import FAILED, config_option, console, host_and_port, json_option
from lbcompanion.model import to_rfc3339

if TYPE_CHECKING:
    from lbcompanion.crawler.fetch_command import FetchOutcome
    from lbcompanion.sticky.explain import Finding

_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][\x21-\x22\x24-\x7e]*)?", re.ASCII)


@click.command()
@click.argument("cookie_header", required=False)
@click.option("--list", "list_all", is_flag=True, help="List all dialects.")
@json_option
def explain(cookie_header: str | None, list_all: bool, as_json: bool) -> None:
    """Show which dialects could have written these cookies, which node they name, and the smallest replay.

    COOKIE_HEADER is what a browser sends: "SRV=n1; JSESSIONID=abc.node1".
    """
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
            click.echo(line)
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


@click.command()
@click.argument("url_or_token")
@config_option
@click.option("--cookie", default="", metavar="COOKIE_HEADER", help='Cookies recorded for this page: "SRV=n1".')
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the page's bytes to this file.")
@json_option
def fetch(url_or_token: str, file: str, cookie: str, output: Path | None, as_json: bool) -> None:
    """Fetch one copy by the ladder, and print each step. Nothing is archived, and the node keeps the copy for a while.

    URL_OR_TOKEN is a fetch URL or a token; --config names the crawler's configuration.
    """
    settings = config.read_crawler(file)
    from lbcompanion.crawler.fetch_command import fetch_once
    from lbcompanion.run import foreground
    from lbcompanion.sticky.cookies import parse

    def print_step(step: str) -> None:
        click.echo(step, err=as_json)

    fetched = foreground.run_once(
        lambda reactor: fetch_once(settings, reactor, url_or_token, parse(cookie), print_step)
    )
    if output is not None and fetched.copy is not None:
        _write(output, fetched.copy.body)
    if as_json:
        click.echo(json.dumps(_fetched(fetched)))
    if fetched.copy is None:
        sys.exit(FAILED)


def _write(output: Path, body: bytes) -> None:
    try:
        output.write_bytes(body)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None


def _fetched(fetched: FetchOutcome) -> dict[str, Any]:
    copy = fetched.copy
    result: dict[str, Any] = {
        "token": fetched.token,
        "origin_node": fetched.owner,
        "answered_by": copy.node if copy else None,
        "outcome": "fetched" if copy else "lost",
        "reason": fetched.loss_reason.text if fetched.loss_reason else None,
        "attempts": [
            {"route": attempt.route.value, "node": attempt.node, "result": attempt.result, "ms": attempt.ms}
            for attempt in fetched.attempts
        ],
    }
    if copy is not None:
        result |= {
            "url": copy.url,
            "status": copy.status,
            "content_type": copy.content_type,
            "captured_at": to_rfc3339(copy.captured_at),
            "bytes": len(copy.body),
            "sha256": copy.sha256.hex(),
        }
    return result


@click.command()
@click.argument("url")
@click.option("--connect", default="", metavar="HOST:PORT", help="The balancer, if the URL's host is another.")
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False),
    help="A crawler's or a node's configuration: its secret proves which node answers.",
)
@json_option
def doctor(url: str, connect: str, file: str | None, as_json: bool) -> None:
    """Examine a site from outside: its sticky sessions, whether a replayed cookie leads back, and what to configure.

    Sends a few dozen requests, one at a time, within a minute. Exit 0: sticky, replays lead to the same node, and no
    problem was found.
    """
    settings = config.read_any(file) if file is not None else None
    if not _URL.fullmatch(url):
        raise click.BadParameter(f"{url}; allowed: http://... or https://...", param_hint="URL")
    endpoint = ""
    if connect:
        host, port = host_and_port(connect, "--connect", host_required=True)
        endpoint = f"tcp:{host.replace(':', chr(92) + ':')}:{port}"
    from lbcompanion.doctor import report
    from lbcompanion.doctor.run import run_doctor, target_of
    from lbcompanion.run import foreground

    out, err = console(sys.stdout), console(sys.stderr)
    progress = report.ProgressReporter(err if as_json and err.is_terminal else None if as_json else out)
    try:
        visited = foreground.run_once(
            lambda reactor: run_doctor(target_of(url, endpoint, settings), reactor, progress.on_progress)
        )
    finally:
        progress.close()
    if as_json:
        click.echo(
            json.dumps(report.json_document(url, visited.observations, visited.diagnosis, visited.advice), indent=1)
        )
    else:
        out.print(report.report(visited.observations, visited.diagnosis, visited.advice), highlight=False)
    if not visited.diagnosis.is_good:
        sys.exit(FAILED)
