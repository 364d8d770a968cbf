"""The command that copies pages out of the archive: ``export``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from lbcompanion import config
from lbcompanion.cli.arguments import config_option, json_option
from lbcompanion.model import from_rfc3339
from lbcompanion.protocol.visitors import visitor_pseudonyms

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@config_option
@click.option("--wacz", type=_FILE, help="Write a WACZ file, for ReplayWeb.page.")
@click.option("--warc", type=_FILE, help="Write a WARC file (.warc.gz).")
@click.option("--cdxj", type=_FILE, help="With --warc: write its index too.")
@click.option("--url", default="", metavar="PREFIX", help="Only pages whose address begins with this.")
@click.option("--from", "start", metavar="TIME", help="Only pages captured at this time or later.")
@click.option("--to", "end", metavar="TIME", help="Only pages captured before this time.")
@click.option("--node", default="", help="Only pages of this node.")
@click.option("--route", default="", help="Only pages fetched by this rung of the ladder.")
@click.option("--visitor", default="", help="Only pages of the visitor with this cookie value, or this pseudonym.")
@click.option("--token", "tokens", multiple=True, help="Only the page of this token; may be repeated.")
@json_option
def export(
    file: str,
    wacz: Path | None,
    warc: Path | None,
    cdxj: Path | None,
    url: str,
    start: str | None,
    end: str | None,
    node: str,
    route: str,
    visitor: str,
    tokens: tuple[str, ...],
    as_json: bool,
) -> None:
    """Copy archived pages, with their files, into one WACZ or WARC file that needs no other file.

    All conditions have to be fulfilled; without conditions all pages are copied. TIME is like 2026-11-23T21:10:00Z, or
    a date, which begins at 00:00 UTC. The crawler may run meanwhile.
    """
    from lbcompanion.crawler.archive.export import Selection
    from lbcompanion.crawler.archive.export_command import export_pages

    if (wacz is None) == (warc is None):
        raise click.UsageError("either --wacz FILE or --warc FILE is needed")
    if cdxj is not None and warc is None:
        raise click.UsageError("--cdxj FILE needs --warc FILE; a WACZ file contains its index")
    settings = config.read_crawler(file).crawler
    visitors = visitor_pseudonyms(settings.secret, visitor) if visitor else None
    selection = Selection(url, _seconds(start, "--from"), _seconds(end, "--to"), node, route, tokens, visitors)
    done = export_pages(settings, selection, wacz=wacz, warc=warc, cdxj=cdxj, now=time.time())
    out = str(wacz or warc)
    if as_json:
        click.echo(json.dumps({"file": out, "pages": done.pages, "records": done.records, "bytes": done.size}))
    else:
        click.echo(f"{out}: {done.pages} pages, {done.records} records, {done.size} bytes")


def _seconds(text: str | None, option: str) -> float | None:
    """Read a time or a date.

    :raises click.BadParameter: if the text has another form.
    """
    if not text:
        return None
    try:
        if len(text) == len("2026-11-23"):
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        allowed = "2026-11-23T21:10:00Z or 2026-11-23"
        raise click.BadParameter(f"{text}; allowed: a time such as {allowed}", param_hint=option) from None
