"""The commands. Each imports what it starts only when it starts it, so that no reactor is touched before that.

Exit 0: done; 1: what was asked for failed; 2: bad usage or configuration.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from lbcompanion import __version__, allowed, config, starters
from lbcompanion.errors import CompanionError, ConfigError, ConfigErrors
from lbcompanion.model import to_rfc3339
from lbcompanion.settings import CrawlerSettings, NodeSettings

if TYPE_CHECKING:
    from lbcompanion.crawler.one_fetch import FetchedOnce
    from lbcompanion.sticky.explain import Finding

FAILED = 1
BAD_CONFIGURATION = 2


def all_errors(error: ConfigError) -> tuple[ConfigError, ...]:
    """Everything that is wrong, whether it is one thing or several."""
    return error.errors if isinstance(error, ConfigErrors) else (error,)


class _Commands(click.Group):
    """Turns errors of ours into lines on standard error, for every command: exit 2 for a configuration, else 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for one in all_errors(error):
                click.echo(f"lbcompanion: {one}", err=True)
            ctx.exit(BAD_CONFIGURATION)
        except CompanionError as error:
            click.echo(f"lbcompanion: {error}", err=True)
            ctx.exit(FAILED)


_config = click.option(
    "--config",
    "file",
    required=True,
    type=click.Path(dir_okay=False),
    help="The configuration, a TOML file.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_log_json = click.option(
    "--log-json", is_flag=True, envvar="LBC_LOG_JSON", help="Log a JSON object for each event. Or set LBC_LOG=json."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="lbcompanion")
def main() -> None:
    """Keep copies of pages beside the nodes that made them, and fetch each from its own node, through any balancer."""


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--nodes", "names", required=True, metavar="NAME,NAME...", help="The nodes' names.")
@click.option("--origin", required=True, metavar="URL", help="The site as visitors name it: https://www.example.com")
def init(folder: Path, names: str, origin: str) -> None:
    """Write starter configurations for nodes and crawler, and a fresh secret, into DIR."""
    nodes = [name.strip() for name in names.split(",") if name.strip()]
    _check_names(nodes)
    try:
        allowed.origin(empty=False)(origin, folder)
    except allowed.Refused as error:
        raise click.BadParameter(f"{origin}; allowed: {error.allowed}", param_hint="--origin") from None
    files = starters.starter_files(nodes, origin, secrets.token_urlsafe(32))
    try:
        written = starters.write_new(folder, files)
    except FileExistsError as error:
        raise click.ClickException(f"{error.args[0]} is there already; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written to: {error.strerror}") from None
    for path in written:
        click.echo(str(path))


def _check_names(nodes: list[str]) -> None:
    wrong = [name for name in nodes if not allowed.is_node_name(name) or name.lower() == "crawler"]
    if wrong or not nodes or len(set(nodes)) < len(nodes):
        said = wrong[0] if wrong else ",".join(nodes)
        raise click.BadParameter(
            f'"{said}"; allowed: names of 1 to 32 letters, digits, _ or -, each once, none of them "crawler"',
            param_hint="--nodes",
        )


@main.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False))
@_json
def check_config(file: str, as_json: bool) -> None:
    """Check a node's or a crawler's configuration. No port is opened."""
    try:
        settings = config.read_any(file)
    except ConfigError as error:
        if as_json:
            errors = [
                {"file": one.file, "key": one.key, "value": one.value, "allowed": one.allowed}
                for one in all_errors(error)
            ]
            click.echo(json.dumps({"file": file, "ok": False, "errors": errors}))
        raise
    kind, what = _kind(settings)
    if as_json:
        click.echo(json.dumps({"file": file, "ok": True, "kind": kind, "errors": []}))
    else:
        click.echo(f"{file}: good; {what}")


def _kind(settings: NodeSettings | CrawlerSettings) -> tuple[str, str]:
    if isinstance(settings, NodeSettings):
        return "node", f"a companion for node {settings.node.name}"
    return "crawler", f"a crawler for {', '.join(site.origin for site in settings.sites.values())}"


@main.command()
@_config
@_log_json
def node(file: str, log_json: bool) -> None:
    """Run a companion in the foreground until SIGTERM or Ctrl-C."""
    settings = config.read_node(file)
    from lbcompanion import running

    sys.exit(running.run_node(settings, json_lines=log_json or None))


@main.command()
@_config
@_log_json
def crawler(file: str, log_json: bool) -> None:
    """Run the crawler in the foreground until SIGTERM or Ctrl-C."""
    settings = config.read_crawler(file)
    from lbcompanion import running

    sys.exit(running.run_crawler(settings, json_lines=log_json or None))


@main.command()
@click.option("--nodes", default=3, show_default=True, help="How many application nodes.")
@click.option(
    "--balancer",
    default="auto",
    show_default=True,
    metavar="auto|builtin|haproxy...",
    help="auto: HAProxy where it is installed, else the built-in one.",
)
@click.option("--visits", default=30, show_default=True, help="With --once: how many page views.")
@click.option(
    "--once", is_flag=True, help="Visit, wait, tell of each visit; exit 0 only if all are archived as served."
)
@_json
def demo(nodes: int, balancer: str, visits: int, once: bool, as_json: bool) -> None:
    """Run a whole farm on this machine: nodes, companions, a sticky balancer, crawler, dashboard and visitors."""
    from lbcompanion.demo.run import demo_command

    sys.exit(demo_command(nodes, balancer, visits, once, as_json))


@main.command()
@click.argument("cookie_header", required=False)
@click.option("--list", "list_all", is_flag=True, help="List the dialects there are.")
@_json
def explain(cookie_header: str | None, list_all: bool, as_json: bool) -> None:
    """Tell which dialects could have written these cookies, which node they name, and what the smallest replay is.

    COOKIE_HEADER is what a browser sends: "SRV=n1; JSESSIONID=abc.node1".
    """
    from lbcompanion.sticky import dialects
    from lbcompanion.sticky.explain import explain as explain_header

    if list_all:
        click.echo(json.dumps(list(dialects.NAMES)) if as_json else "\n".join(dialects.NAMES))
        return
    if cookie_header is None:
        raise click.UsageError("COOKIE_HEADER is needed, or --list")
    findings = explain_header(cookie_header)
    if as_json:
        click.echo(json.dumps({"findings": [_finding(one) for one in findings]}))
    else:
        for line in _finding_lines(findings):
            click.echo(line)
    if not any(one.dialect for one in findings):
        sys.exit(FAILED)


def _finding(one: Finding) -> dict[str, Any]:
    return asdict(one, value_serializer=lambda _, __, value: value.name.lower() if isinstance(value, Enum) else value)


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    cookie = ""
    for one in findings:
        if one.cookie != cookie:
            cookie = one.cookie
            yield cookie
        if not one.dialect:
            yield f"  {one.note}"
            continue
        node = "does not tell the node" if one.node is None else f"names node {one.node}"
        yield f"  {one.dialect}: {node}; replay {one.cookie}={one.replay}  ({one.note})"
    if not findings:
        yield "no cookie in there"


@main.command()
@click.argument("url_or_token")
@_config
@click.option("--cookie", default="", metavar="COOKIE_HEADER", help='Cookies recorded for this page: "SRV=n1".')
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the page's bytes to this file.")
@_json
def fetch(url_or_token: str, file: str, cookie: str, output: Path | None, as_json: bool) -> None:
    """Fetch one copy by the ladder and tell each step. Nothing is archived, and the node keeps the copy for a while.

    URL_OR_TOKEN is a fetch URL or a token; --config names the crawler's configuration.
    """
    settings = config.read_crawler(file)
    from lbcompanion import running
    from lbcompanion.crawler.one_fetch import fetch_once
    from lbcompanion.sticky.cookies import parse

    def say(step: str) -> None:
        click.echo(step, err=as_json)

    fetched = running.run_once(lambda reactor: fetch_once(settings, reactor, url_or_token, parse(cookie), say))
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


def _fetched(fetched: FetchedOnce) -> dict[str, Any]:
    copy = fetched.copy
    said: dict[str, Any] = {
        "token": fetched.token,
        "origin_node": fetched.owner,
        "answered_by": copy.node if copy else None,
        "outcome": "fetched" if copy else "lost",
        "reason": fetched.outcome.reason or None,
        "attempts": [
            {"route": one.route.value, "node": one.node, "result": one.result, "ms": one.ms} for one in fetched.attempts
        ],
    }
    if copy is not None:
        said |= {
            "url": copy.url,
            "status": copy.status,
            "content_type": copy.content_type,
            "captured_at": to_rfc3339(copy.captured_at),
            "bytes": len(copy.body),
            "sha256": copy.sha256.hex(),
        }
    return said


if __name__ == "__main__":
    main()
