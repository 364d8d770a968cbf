"""Common parts of the commands: exit codes, options, the parser of ``HOST:PORT``, and the console."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
BAD_CONFIGURATION = 2

#: A host in an argument; an IPv6 address needs brackets.
HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)

config_option = click.option(
    "--config",
    "file",
    required=True,
    type=click.Path(dir_okay=False),
    help="The configuration, a TOML file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
log_json_option = click.option(
    "--log-json", is_flag=True, envvar="LBC_LOG_JSON", help="Log a JSON object for each event. Or set LBC_LOG=json."
)


access_token_option = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A file with an access token for the API of the running crawler. Or set LBC_TOKEN.",
)


def access_token(file: Path | None) -> str:
    """Return the access token in a file, or without a file the one in the environment; empty if neither has one.

    :raises click.BadParameter: if the file cannot be read, or the text is not an access token.
    """
    try:
        token = file.read_text("ascii").strip() if file is not None else os.environ.get("LBC_TOKEN", "").strip()
    except (OSError, UnicodeDecodeError):
        token = "\n"
    if not all("!" <= each <= "~" for each in token):
        raise click.BadParameter("not an access token", param_hint="--token-file or LBC_TOKEN")
    return token


def console(file: TextIO) -> Console:
    """Make a console that prints to a file."""
    # Few commands print tables: the others start 50 ms earlier without rich.
    from rich.console import Console

    # In a file or a pipe, rich would wrap lines at 80 columns.
    return Console(file=file, soft_wrap=True, width=None if file.isatty() else 160)


def host_and_port(text: str, option: str, host_required: bool = False) -> tuple[str, int]:
    """Parse ``HOST:PORT``, or ``PORT`` unless a host is required; return the host without brackets.

    :raises click.BadParameter: if the text has another form.
    """
    host, colon, port = text.rpartition(":")
    is_valid = (HOST.fullmatch(host) if colon else not host_required) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII)
    if not is_valid or not 1 <= int(port) <= 65535:
        allowed_form = "HOST:PORT" if host_required else "PORT or HOST:PORT"
        raise click.BadParameter(f"{text}; allowed: {allowed_form}, an IPv6 host in brackets", param_hint=option)
    return host.strip("[]"), int(port)
