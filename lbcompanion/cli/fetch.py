"""The command ``fetch``: one copy, by the crawler's way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lbcompanion import config
from lbcompanion.cli.arguments import FAILED, config_option, json_option
from lbcompanion.model import to_rfc3339

if TYPE_CHECKING:
    from lbcompanion.crawler.fetch_command import FetchOutcome


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
    from lbcompanion.logs import printable
    from lbcompanion.run import foreground
    from lbcompanion.sticky.cookies import parse

    def print_step(step: str) -> None:
        click.echo(printable(step), err=as_json)

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
