"""The commands. Each imports what it starts only when it starts it, so that no reactor is touched before that.

Exit 0: done; 1: what was asked for failed; 2: bad usage or configuration.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from attrs import asdict
from rich.console import Console

from lbcompanion import __version__, balancer_config, checks, config, plugins
from lbcompanion.config import templates
from lbcompanion.errors import CompanionError, ConfigError, ConfigErrors
from lbcompanion.model import to_rfc3339
from lbcompanion.settings import CrawlerSettings, NodeSettings

if TYPE_CHECKING:
    from lbcompanion.crawler.fetch_command import FetchedOnce
    from lbcompanion.sticky.explain import Finding

FAILED = 1
BAD_CONFIGURATION = 2
#: A node that is told to stop has stopped within 30 seconds.
DRAIN_SECONDS = 35.0

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][\x21-\x22\x24-\x7e]*)?", re.ASCII)
_ENDS_WITH_PORT = re.compile(r"(^|[^:\[\]]|\]):[0-9]*$", re.ASCII)


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
    plugins.load_dialects()


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--nodes", "names", required=True, metavar="NAME,NAME...", help="The nodes' names.")
@click.option("--origin", required=True, metavar="URL", help="The site as visitors name it: https://www.example.com")
def init(folder: Path, names: str, origin: str) -> None:
    """Write starter configurations for nodes and crawler, and a fresh secret, into DIR."""
    nodes = [name.strip() for name in names.split(",") if name.strip()]
    _check_names(nodes)
    try:
        checks.origin(empty=False)(origin, folder)
    except checks.Refused as error:
        raise click.BadParameter(f"{origin}; allowed: {error.allowed}", param_hint="--origin") from None
    files = templates.starter_files(nodes, origin, secrets.token_urlsafe(32))
    try:
        written = templates.write_new(folder, files)
    except FileExistsError as error:
        raise click.ClickException(f"{error.args[0]} is there already; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written to: {error.strerror}") from None
    for path in written:
        click.echo(str(path))


def _check_names(nodes: list[str]) -> None:
    wrong = [name for name in nodes if not checks.is_node_name(name) or name.lower() == "crawler"]
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
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the ports over from the process that runs this node now; no connection is refused meanwhile.",
)
def node(file: str, log_json: bool, take_over: bool) -> None:
    """Run a companion in the foreground until SIGTERM or Ctrl-C."""
    settings = config.read_node(file)
    from lbcompanion.run import foreground

    sys.exit(foreground.run_node(settings, json_lines=log_json or None, take_over=take_over))


@main.command()
@_config
@_json
def drain(file: str, as_json: bool) -> None:
    """Have a running companion stop: it turns unready, finishes what runs, and ends. Tells what became of its copies.

    Run it on the node itself, as the companion's own user.
    """
    settings = config.read_node(file)
    from lbcompanion.node.processes.control import RunningNode

    running_node = RunningNode(settings.node.state_dir, settings.node.name)
    running_node.drain()
    said: dict[str, Any] = {}
    while (more := running_node.read(DRAIN_SECONDS)) is not None:
        said |= more
    copies = {word: said[word] for word in ("handed_over", "kept", "lost") if word in said}
    if as_json:
        click.echo(json.dumps({"node": settings.node.name, "stopped": bool(said.get("done")), "copies": copies}))
    else:
        # Whoever drains a node has nothing take its place.
        words = {"handed_over": "handed over to peers"}
        told = ", ".join(
            f"{count} {'copy' if count == 1 else 'copies'} {words.get(word, word)}" for word, count in copies.items()
        )
        click.echo(f"{settings.node.name} has stopped" + (f"; {told}" if told else ""))
    if not said.get("done"):
        sys.exit(FAILED)


@main.command()
@_config
@_log_json
def crawler(file: str, log_json: bool) -> None:
    """Run the crawler in the foreground until SIGTERM or Ctrl-C."""
    settings = config.read_crawler(file)
    from lbcompanion.run import foreground

    sys.exit(foreground.run_crawler(settings, json_lines=log_json or None))


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
        names = dialects.known_names()
        click.echo(json.dumps(names) if as_json else "\n".join(names))
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
    # Many dialects take any text and say the same of it: one line for them all.
    for (name, node, replay, note), group in groupby(
        findings, lambda one: (one.cookie, one.node, one.replay, one.note)
    ):
        if name != cookie:
            cookie = name
            yield cookie
        dialects = ", ".join(one.dialect for one in group)
        if not replay:
            yield f"  {dialects}: {note}" if dialects else f"  {note}"
            continue
        told = "does not tell the node" if node is None else f"names node {node}"
        yield f"  {dialects}: {told}; replay {name}={replay}  ({note})"
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
    from lbcompanion.crawler.fetch_command import fetch_once
    from lbcompanion.run import foreground
    from lbcompanion.sticky.cookies import parse

    def say(step: str) -> None:
        click.echo(step, err=as_json)

    fetched = foreground.run_once(lambda reactor: fetch_once(settings, reactor, url_or_token, parse(cookie), say))
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
        "reason": fetched.lost.text if fetched.lost else None,
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


@main.command()
@click.argument("url")
@click.option("--connect", default="", metavar="HOST:PORT", help="Where the balancer is, if not where the URL says.")
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False),
    help="A crawler's or a node's configuration: its secret proves which node answers.",
)
@_json
def doctor(url: str, connect: str, file: str | None, as_json: bool) -> None:
    """Look at a site from outside: how it sticks, whether a cookie sent again leads back, and what to configure.

    A few dozen requests, one after the other, within a minute. Exit 0: sticky, and replays lead to the same node.
    """
    settings = config.read_any(file) if file is not None else None
    if not _URL.fullmatch(url):
        raise click.BadParameter(f"{url}; allowed: http://... or https://...", param_hint="URL")
    endpoint = ""
    if connect:
        host, port = _host_and_port(connect, "--connect", host_needed=True)
        endpoint = f"tcp:{host.replace(':', chr(92) + ':')}:{port}"
    from lbcompanion.doctor import shown
    from lbcompanion.doctor.visit import case_of, visit
    from lbcompanion.run import foreground

    out, notes = _console(sys.stdout), _console(sys.stderr)
    progress = shown.ProgressShown(notes if as_json and notes.is_terminal else None if as_json else out)
    try:
        visited = foreground.run_once(lambda reactor: visit(case_of(url, endpoint, settings), reactor, progress.told))
    finally:
        progress.close()
    if as_json:
        click.echo(json.dumps(shown.document(url, visited.observed, visited.diagnosis, visited.advice), indent=1))
    else:
        out.print(shown.report(visited.observed, visited.diagnosis, visited.advice), highlight=False)
    if not visited.diagnosis.sticky:
        sys.exit(FAILED)


def _console(file: TextIO) -> Console:
    # Into a file or a pipe rich would fold everything at 80 columns.
    return Console(file=file, soft_wrap=True, width=None if file.isatty() else 160)


@main.command("balancer-config")
@click.argument(
    "product", metavar="haproxy|nginx|apache|caddy|envoy", type=click.Choice(list(balancer_config.PRODUCTS))
)
@click.option("--config", "files", required=True, multiple=True, metavar="FILE...", help="The nodes' configurations.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--listen", default="80", show_default=True, metavar="[HOST:]PORT", help="Where visitors are served.")
@click.option("--address", "told", multiple=True, metavar="NODE=HOST[:PORT]", help="Where the balancer finds a node.")
def balancer_config_command(
    product: str, files: tuple[str, ...], more: tuple[str, ...], listen: str, told: tuple[str, ...]
) -> None:
    """Print a working configuration of a balancer for these nodes: sticky cookie, health checks, forwarded headers.

    Each FILE is a node's configuration: --config n1.toml n2.toml n3.toml; of a crawler's among them only the
    nodes' addresses are taken.
    """
    read = [(file, config.read_any(file)) for file in (*files, *more)]
    nodes = [(file, settings) for file, settings in read if isinstance(settings, NodeSettings)]
    crawlers = [settings for _, settings in read if isinstance(settings, CrawlerSettings)]
    if not nodes:
        raise click.UsageError("a node's configuration is needed: --config n1.toml n2.toml")
    addresses = dict(_pair(one) for one in told)
    pool = balancer_config.pool_of(nodes, _host_and_port(listen, "--listen"), addresses, crawlers)
    for member in pool.members:
        if member.guessed:
            click.echo(
                f"lbcompanion: where the balancer finds {member.name} is a guess: {member.address}; --address says it",
                err=True,
            )
    click.echo(balancer_config.configuration(product, pool), nl=False)


def _pair(text: str) -> tuple[str, str]:
    name, equals, where = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    if _ENDS_WITH_PORT.search(where):
        _host_and_port(where, "--address")
    elif not _HOST.fullmatch(where):
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    return name, where


def _host_and_port(text: str, option: str, host_needed: bool = False) -> tuple[str, int]:
    """``HOST:PORT``, the host without brackets; just ``PORT`` where no host is needed."""
    host, colon, port = text.rpartition(":")
    right = (_HOST.fullmatch(host) if colon else not host_needed) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII)
    if not right or not 1 <= int(port) <= 65535:
        allowed_form = "HOST:PORT" if host_needed else "PORT or HOST:PORT"
        raise click.BadParameter(f"{text}; allowed: {allowed_form}, an IPv6 host in brackets", param_hint=option)
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
