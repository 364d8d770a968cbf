"""Commands that run services, and the one that stops a node: ``node``, ``crawler``, ``drain``."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import click

from lbcompanion import config
from lbcompanion.cli.arguments import FAILED, config_option, json_option, log_json_option

#: A node stops within 30 seconds of the order.
DRAIN_SECONDS = 35.0


@click.command()
@config_option
@log_json_option
@click.option(
    "--take-over",
    is_flag=True,
    help="Take over the ports of the process that runs this node now; no connection is refused.",
)
def node(file: str, log_json: bool, take_over: bool) -> None:
    """Run a companion in the foreground until SIGTERM or Ctrl-C."""
    _ignore_sighup()
    settings = config.read_node(file)
    from lbcompanion.run import foreground

    sys.exit(foreground.run_node(settings, json_lines=log_json or None, take_over=take_over))


@click.command()
@config_option
@json_option
def drain(file: str, as_json: bool) -> None:
    """Stop a running companion: it becomes unready, finishes its requests, and ends. Prints what became of its copies.

    Run this on the node itself, as the companion's user.
    """
    settings = config.read_node(file)
    from lbcompanion.node.processes.control import RunningNode

    running_node = RunningNode(settings.node.state_dir, settings.node.name)
    running_node.drain()
    outcome: dict[str, Any] = {}
    while (message := running_node.read(DRAIN_SECONDS)) is not None:
        outcome |= message
    copies = {key: outcome[key] for key in ("handed_over", "kept", "lost") if key in outcome}
    if as_json:
        click.echo(json.dumps({"node": settings.node.name, "stopped": bool(outcome.get("done")), "copies": copies}))
    else:
        # A drained node has no successor process, so copies were handed over to peers only.
        labels = {"handed_over": "handed over to peers"}
        summary = ", ".join(
            f"{count} {'copy' if count == 1 else 'copies'} {labels.get(key, key)}" for key, count in copies.items()
        )
        click.echo(f"{settings.node.name} has stopped" + (f"; {summary}" if summary else ""))
    if not outcome.get("done"):
        sys.exit(FAILED)


@click.command()
@config_option
@log_json_option
def crawler(file: str, log_json: bool) -> None:
    """Run the crawler in the foreground until SIGTERM or Ctrl-C."""
    _ignore_sighup()
    settings = config.read_crawler(file)
    from lbcompanion.run import foreground

    sys.exit(foreground.run_crawler(settings, json_lines=log_json or None))


def _ignore_sighup() -> None:
    """Ignore SIGHUP until the service handles it: ``systemctl reload`` may come at any time, and certificates are read
    later."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
