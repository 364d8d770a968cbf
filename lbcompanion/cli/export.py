"""The command ``export``: a copy of recordings in a file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from attrs import evolve

from lbcompanion import config
from lbcompanion.cli.arguments import config_option, json_option
from lbcompanion.protocol.visitors import visitor_pseudonyms

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@config_option
@click.option("--wacz", type=_FILE, help="Write a WACZ file, for ReplayWeb.page.")
@click.option("--warc", type=_FILE, help="Write a WARC file (.warc.gz).")
@click.option("--cdxj", type=_FILE, help="With --warc: write its index too.")
@click.option("--url", default="", metavar="URL", help="Only pages with this address; URL* and *PART* are allowed.")
@click.option("--from", default="", metavar="TIME", help="Only pages viewed at this time or later.")
@click.option("--to", default="", metavar="TIME", help="Only pages viewed before this time.")
@click.option("--node", default="", help="Only pages of this node.")
@click.option("--site", default="", help="Only pages of this site.")
@click.option("--route", default="", help="Only pages fetched by this rung of the ladder.")
@click.option("--status", default="", help="Only pages with this status.")
@click.option("--method", default="", help="Only pages requested by this method.")
@click.option("--title", default="", metavar="PART", help="Only pages with this in their title.")
@click.option("--visitor", default="", help="Only pages of the visitor with this cookie value, or this pseudonym.")
@click.option("--token", "tokens", multiple=True, help="Only the page of this token; may be repeated.")
@json_option
def export(
    file: str,
    wacz: Path | None,
    warc: Path | None,
    cdxj: Path | None,
    tokens: tuple[str, ...],
    as_json: bool,
    **texts: str,
) -> None:
    """Copy archived pages, with their files, into one WACZ or WARC file that needs no other file.

    All conditions have to be fulfilled; without conditions all pages are copied. TIME is like 2026-11-23T21:10:00Z, or
    a date, which begins at 00:00 UTC. The crawler may run meanwhile.
    """
    from lbcompanion.crawler.archive.export_command import export_pages
    from lbcompanion.crawler.queue.filter_texts import BadFilter, read_filters

    if (wacz is None) == (warc is None):
        raise click.UsageError("either --wacz FILE or --warc FILE is needed")
    if cdxj is not None and warc is None:
        raise click.UsageError("--cdxj FILE needs --warc FILE; a WACZ file contains its index")
    settings = config.read_crawler(file).crawler
    try:
        filters = read_filters(texts, lambda text: visitor_pseudonyms(settings.secret, text))
    except BadFilter as failure:
        raise click.BadParameter(f"--{failure}") from None
    filters = evolve(filters, tokens=tokens)
    done = export_pages(settings, filters, wacz=wacz, warc=warc, cdxj=cdxj, now=time.time())
    out = str(wacz or warc)
    if as_json:
        click.echo(json.dumps({"file": out, "pages": done.pages, "records": done.records, "bytes": done.size}))
    else:
        click.echo(f"{out}: {done.pages} pages, {done.records} records, {done.size} bytes")
