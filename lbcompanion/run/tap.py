"""``twistd lbcompanion``: the options and the service of a companion."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

from lbcompanion import config, plugins
from lbcompanion.errors import ConfigError
from lbcompanion.run.foreground import log_failed_start, make_node
from lbcompanion.settings import NodeSettings


class Options(usage.Options):
    """``--config FILE``, ``--take-over``."""

    optParameters = [["config", "c", None, "The companion's configuration, a TOML file."]]  # noqa: RUF012
    optFlags = [["take-over", None, "Take the ports over from the process that runs this node now."]]  # noqa: RUF012
    settings: NodeSettings

    def postOptions(self) -> None:
        """Read the file. If it is invalid, exit with code 2 before any port is opened."""
        if self["config"] is None:
            raise usage.UsageError("--config FILE is needed")
        try:
            plugins.load_dialects()
            self.settings = config.read_node(self["config"])
        except ConfigError as error:
            exit_with_config_error(error)


def exit_with_config_error(error: ConfigError) -> NoReturn:
    """Print a configuration's errors, one per line, and exit with code 2."""
    for line in str(error).splitlines():
        sys.stderr.write(f"lbcompanion: {line}\n")
    raise SystemExit(2)


def stop_reactor_on_failure(service: IService, reactor: Any) -> IService:
    """Stop twistd if the service cannot start; otherwise it would continue without the service."""

    def stop(failure: Failure) -> None:
        log_failed_start(failure)
        reactor.callWhenRunning(reactor.stop)  # twistd starts services before it runs the reactor

    started = getattr(service, "started", None)
    if isinstance(started, Deferred):
        started.addErrback(stop)
    return service


def makeService(options: Options) -> IService:
    """Make the companion's service, on twistd's reactor. Several workers run on asyncio's reactor."""
    from twisted.internet import reactor

    try:
        service = make_node(
            options.settings, reactor, None, json_lines=None, relay=True, take_over=bool(options["take-over"])
        )
        return stop_reactor_on_failure(service, reactor)
    except ConfigError as error:  # an error that shows only when the store is opened
        exit_with_config_error(error)
