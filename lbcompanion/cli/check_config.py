"""The command ``check-config``: errors and warnings of one configuration."""

from __future__ import annotations

import json

import click

from lbcompanion import config
from lbcompanion.cli.arguments import json_option
from lbcompanion.errors import ConfigError, all_errors
from lbcompanion.settings import CrawlerSettings, NodeSettings


@click.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
def check_config(file: str, as_json: bool) -> None:
    """Check a node's or a crawler's configuration. No port is opened."""
    try:
        settings = config.read_any(file)
    except ConfigError as error:
        if as_json:
            errors = [
                {"file": item.file, "key": item.key, "value": item.value, "allowed": item.allowed}
                for item in all_errors(error)
            ]
            click.echo(json.dumps({"file": file, "ok": False, "errors": errors}))
        raise
    kind, what = _kind(settings)
    warnings = config.warnings(settings)
    if as_json:
        listed = [{"key": key, "warning": warning} for key, warning in warnings]
        click.echo(json.dumps({"file": file, "ok": True, "kind": kind, "errors": [], "warnings": listed}))
    else:
        for key, warning in warnings:
            click.echo(f"{file}: warning: {key}: {warning}", err=True)
        click.echo(f"{file}: good; {what}")


def _kind(settings: NodeSettings | CrawlerSettings) -> tuple[str, str]:
    if isinstance(settings, NodeSettings):
        return "node", f"a companion for node {settings.node.name}"
    table = settings.crawler
    access = "" if table.users_file or table.forward_auth_header else "; nobody has to log in at its admin listener"
    return "crawler", f"a crawler for {', '.join(site.origin for site in settings.sites.values())}{access}"
