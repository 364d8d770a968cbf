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
        """Read the file; a bad one stops twistd with exit 2 before any port opens."""
        if self["config"] is None:
            raise usage.UsageError("--config FILE is needed")
        try:
            plugins.load_dialects()
            self.settings = config.read_node(self["config"])
        except ConfigError as error:
            exit_with_config_error(error)


def exit_with_config_error(error: ConfigError) -> NoReturn:
    """Say what is wrong with a configuration, a line for each thing, and exit 2."""
    for line in str(error).splitlines():
        sys.stderr.write(f"lbcompanion: {line}\n")
    raise SystemExit(2)


def stop_reactor_on_failure(service: IService, reactor: Any) -> IService:
    """Have twistd end when the service cannot start, rather than run on with nothing in it."""

    def stop(failure: Failure) -> None:
        log_failed_start(failure)
        reactor.callWhenRunning(reactor.stop)  # twistd starts services before its reactor

    started = getattr(service, "started", None)
    if isinstance(started, Deferred):
        started.addErrback(stop)
    return service


def makeService(options: Options) -> IService:
    """Make the companion, on twistd's own reactor; its workers, where it has several, run on asyncio's."""
    from twisted.internet import reactor

    try:
        service = make_node(options.settings, reactor, None, None, True, bool(options["take-over"]))
        return stop_reactor_on_failure(service, reactor)
    except ConfigError as error:  # what only the opening of a store can tell
        exit_with_config_error(error)
