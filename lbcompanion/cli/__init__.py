"""The commands. Each imports its service only when it runs, so that no reactor is installed before.

A command is in the module of its name; ``services`` has ``node``, ``crawler`` and ``drain``, ``users`` has ``user`` and
``audit``. A new command is a function there and an entry here.

Exit codes: 0 success; 1 the command failed; 2 wrong usage or configuration.
"""

from __future__ import annotations

from typing import Any

import click

from lbcompanion import __version__, plugins
from lbcompanion.cli import (
    balancer_config,
    check_config,
    demo,
    doctor,
    erase,
    explain,
    export,
    fetch,
    init,
    services,
    users,
)
from lbcompanion.cli.arguments import BAD_CONFIGURATION, FAILED
from lbcompanion.errors import CompanionError, ConfigError, all_errors


class _ErrorReportingGroup(click.Group):
    """Prints this package's errors on standard error, for every command. Exit 2 for a configuration error, else 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for line in all_errors(error):
                click.echo(f"lbcompanion: {line}", err=True)
            ctx.exit(BAD_CONFIGURATION)
        except CompanionError as error:
            click.echo(f"lbcompanion: {error}", err=True)
            ctx.exit(FAILED)


@click.group(
    cls=_ErrorReportingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="lbcompanion")
def main() -> None:
    """Keep copies of pages beside the nodes that made them, and fetch each from its own node, through any balancer."""
    plugins.load_dialects()


for command in (
    *(init.init, check_config.check_config, balancer_config.balancer_config),
    *(services.node, services.drain, services.crawler),
    *(explain.explain, fetch.fetch, doctor.doctor),
    *(export.export, erase.erase),
    *(users.user, users.audit),
    demo.demo,
):
    main.add_command(command)
