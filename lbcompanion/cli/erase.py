"""The command ``erase``: recordings that are removed for good."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from lbcompanion import config
from lbcompanion.cli.arguments import FAILED, access_token, access_token_option, config_option, json_option

_STDIN = "-"


@click.command()
@config_option
@click.option("--token", "tokens", multiple=True, metavar="TOKEN", help="The recording of this token. Repeatable.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="The page, or the file of pages, with this address; a * at the end stands for any rest. Repeatable.",
)
@click.option(
    "--visitor",
    "visitors",
    multiple=True,
    metavar="VALUE",
    help="Recordings of the visitor whose visitor cookie has this value, or who has this pseudonym. "
    "- reads values from standard input, one a line. Repeatable.",
)
@click.option(
    "--visitor-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Read values of --visitor from a file, one a line, so that they are not in the list of processes.",
)
@click.option("--before", metavar="TIME", help="Recordings noticed before a date or time of RFC 3339, in UTC.")
@click.option(
    "--old-secret",
    "old_secret_files",
    multiple=True,
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A file with a former secret of the farm: find visitors by pseudonyms that were made with it. Repeatable.",
)
@access_token_option
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@json_option
def erase(
    file: str,
    tokens: tuple[str, ...],
    urls: tuple[str, ...],
    visitors: tuple[str, ...],
    visitor_file: Path | None,
    before: str | None,
    old_secret_files: tuple[Path, ...],
    token_file: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Erase recordings that meet all given criteria: their rows, their records in the archive, and routes from them.

    --config names the crawler's configuration. The crawler may run meanwhile.
    """
    given = _criteria(tokens, urls, _read_visitors(visitors, visitor_file), before)
    if not given:
        raise click.UsageError("name what to erase: --token, --url, --visitor or --before")
    settings = config.read_crawler(file)
    old_secrets = tuple(path.read_bytes().strip() for path in old_secret_files)
    from lbcompanion.crawler import erase_command

    result = erase_command.erase(
        settings, given, old_secrets=old_secrets, dry_run=dry_run, access_token=access_token(token_file)
    )
    click.echo(json.dumps(result) if as_json else _sentence(result))
    if result.get("files_unsearched"):
        click.echo(
            f"lbcompanion: {result['files_unsearched']} archive files are not searched for files of pages yet: each "
            "crawler searches its own within minutes; the log and /healthz of each say what fails",
            err=True,
        )
        sys.exit(FAILED)
    if result.get("waiting") or result.get("files_waiting"):
        click.echo(
            f"lbcompanion: the records of {result['waiting']} recordings, and {result['files_waiting']} old files, "
            "could not be removed from the archive yet; the crawler's log and /healthz say why",
            err=True,
        )
        sys.exit(FAILED)


def _read_visitors(visitors: tuple[str, ...], file: Path | None) -> list[str]:
    found = [each for each in visitors if each != _STDIN]
    if _STDIN in visitors:
        found += sys.stdin.read().splitlines()
    if file is not None:
        found += file.read_text("utf-8", "surrogateescape").splitlines()
    values = [value for value in found if value.strip()]
    if (visitors or file is not None) and not values:
        raise click.UsageError("--visitor: no value was given")
    return values


def _criteria(
    tokens: tuple[str, ...], urls: tuple[str, ...], visitors: list[str], before: str | None
) -> dict[str, Any]:
    lists = (("token", list(tokens)), ("url", list(urls)), ("visitor", visitors))
    given: dict[str, Any] = {name: values for name, values in lists if values}
    return given if before is None else {**given, "before": before}


def _sentence(result: dict[str, Any]) -> str:
    recordings = f"{result['recordings']} recording{'' if result['recordings'] == 1 else 's'}"
    if result["dry_run"]:
        files = f"; {result['file_records']} records of files of other pages too" if result.get("file_records") else ""
        return f"{recordings} would be erased, {result['archived']} of them with records in the archive{files}"
    return (
        f"erased {recordings}: {result['records']} records in {result['files']} archive files, "
        f"{result['losses']} losses, {result['routes']} routes"
    )
