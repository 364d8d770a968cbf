"""The command ``demo``."""

from __future__ import annotations

import sys

import click

from lbcompanion.cli.arguments import json_option


@click.command()
@click.option("--nodes", default=3, show_default=True, help="How many application nodes.")
@click.option(
    "--balancer",
    default="auto",
    show_default=True,
    metavar="auto|builtin|haproxy...",
    help="auto: HAProxy if it is installed, else the built-in one.",
)
@click.option("--visits", default=30, show_default=True, help="With --once: how many page views.")
@click.option(
    "--once", is_flag=True, help="Visit, wait, report each visit; exit 0 only if all pages are archived as served."
)
@json_option
def demo(nodes: int, balancer: str, visits: int, once: bool, as_json: bool) -> None:
    """Run a whole farm on this machine: nodes, companions, a sticky balancer, crawler, dashboard and visitors."""
    from lbcompanion.demo.run import demo_command

    sys.exit(demo_command(nodes, balancer, visits, once=once, as_json=as_json))
