"""``twistd lbcompanion-crawler``: the options and the service of the crawler."""

from __future__ import annotations

from twisted.application.service import IService
from twisted.python import usage

from lbcompanion import config, plugins
from lbcompanion.errors import ConfigError
from lbcompanion.run.foreground import make_crawler
from lbcompanion.run.tap import exit_with_config_error, stop_reactor_on_failure
from lbcompanion.settings import CrawlerSettings


class Options(usage.Options):
    """``--config FILE``."""

    optParameters = [["config", "c", None, "The crawler's configuration, a TOML file."]]  # noqa: RUF012
    settings: CrawlerSettings

    def postOptions(self) -> None:
        """Read the file. If it is invalid, exit with code 2 before any port is opened."""
        if self["config"] is None:
            raise usage.UsageError("--config FILE is needed")
        try:
            plugins.load_dialects()
            self.settings = config.read_crawler(self["config"])
        except ConfigError as error:
            exit_with_config_error(error)


def makeService(options: Options) -> IService:
    """Make the crawler's service, on twistd's reactor."""
    from twisted.internet import reactor

    return stop_reactor_on_failure(make_crawler(options.settings, reactor), reactor)
