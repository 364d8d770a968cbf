"""The command ``balancer-config``: a balancer's configuration for these nodes."""

from __future__ import annotations

import re

import click

from lbcompanion import balancer_config as generator
from lbcompanion import config
from lbcompanion.cli.arguments import HOST, host_and_port
from lbcompanion.settings import CrawlerSettings, NodeSettings

_ENDS_WITH_PORT = re.compile(r"(^|[^:\[\]]|\]):[0-9]*$", re.ASCII)


@click.command("balancer-config")
@click.argument("product", metavar="|".join(generator.PRODUCTS), type=click.Choice(list(generator.PRODUCTS)))
@click.option("--config", "files", required=True, multiple=True, metavar="FILE...", help="The nodes' configurations.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--listen", default="80", show_default=True, metavar="[HOST:]PORT", help="The balancer's own listener.")
@click.option(
    "--address", "addresses", multiple=True, metavar="NODE=HOST[:PORT]", help="A node's address for the balancer."
)
def balancer_config(
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
    pool = generator.pool_of(nodes, host_and_port(listen, "--listen"), dict(map(_address_pair, addresses)), crawlers)
    for member in pool.members:
        if member.guessed:
            click.echo(
                f"lbcompanion: the address of {member.name} is a guess: {member.address}; set it with --address",
                err=True,
            )
    click.echo(generator.configuration(product, pool), nl=False)


def _address_pair(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    if _ENDS_WITH_PORT.search(address):
        host_and_port(address, "--address")
    elif not HOST.fullmatch(address):
        raise click.BadParameter(f"{text}; allowed: NODE=HOST or NODE=HOST:PORT", param_hint="--address")
    return name, address
