"""The command ``doctor``: an examination of a site from outside."""

from __future__ import annotations

import json
import re
import sys

import click

from lbcompanion import config
from lbcompanion.cli.arguments import FAILED, console, host_and_port, json_option

_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][\x21-\x22\x24-\x7e]*)?", re.ASCII)


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
