"""Commands that set a farm up: ``check-config`` and ``balancer-config``; ``init`` is in ``starter``."""

from __future__ import annotations

import json
import re

import click

from lbcompanion import balancer_config, config
from lbcompanion.cli.arguments import HOST, host_and_port, json_option
from lbcompanion.errors import ConfigError, all_errors
from lbcompanion.settings import CrawlerSettings, NodeSettings

_ENDS_WITH_PORT = re.compile(r"(^|[^:\[\]]|\]):[0-9]*$", re.ASCII)


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


@click.command("balancer-config")
@click.argument(
    "product", metavar="|".join(balancer_config.PRODUCTS), type=click.Choice(list(balancer_config.PRODUCTS))
)
@click.option("--config", "files", required=True, multiple=True, metavar="FILE...", help="The nodes' configurations.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--listen", default="80", show_default=True, metavar="[HOST:]PORT", help="The balancer's own listener.")
@click.option(
    "--address", "addresses", multiple=True, metavar="NODE=HOST[:PORT]", help="A node's address for the balancer."
)
def balancer_config_command(
    product: str, files: tuple[str, ...], more: tuple[str, ...], listen: str, addresses: tuple[str, ...]
) -> None:
    """Print a working configuration of a balancer for these nodes: sticky cookie, health checks, forwarded headers.

    Each FILE is a node's configuration: --config n1.toml n2.toml n3.toml; from a crawler's configuration only the
    nodes' addresses are used.
    """
    settings_of = [(file, config.read_any(file)) for file in (*files, *more)]
    nodes = [(file, settings) for file, settings in settings_of if isinstance(settings, NodeSettings)]
    crawlers = [settings for _, settings in settings_of if isinstance(settings, CrawlerSettings)]
    if not nodes:
        raise click.UsageError("a node's configuration is needed: --config n1.toml n2.toml")
    pool = balancer_config.pool_of(
        nodes, host_and_port(listen, "--listen"), dict(map(_address_pair, addresses)), crawlers
    )
    for member in pool.members:
        if member.guessed:
            click.echo(
                f"lbcompanion: the address of {member.name} is a guess: {member.address}; set it with --address",
                err=True,
            )
    click.echo(balancer_config.configuration(product, pool), nl=False)


def _address_pair(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    if _ENDS_WITH_PORT.search(address):
        host_and_port(address, "--address")
    elif not HOST.fullmatch(address):
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    return name, address
