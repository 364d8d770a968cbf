"""A crawler of a shared queue in a process of its own: the real service, with pages from nodes in its own memory.

Every node has the page of every token that names it; the answers come after a short time that differs. Three files in
the crawler's folder lead it: ``clock`` has the seconds by which its clock is wrong, ``die`` kills it at the next
confirmation, and ``confirmed`` gets the tokens that it confirms.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.iweb import IAgent
from zope.interface import implementer

from lbcompanion.crawler.archive import uploads
from lbcompanion.crawler.service import CrawlerService
from lbcompanion.model import Page
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import SiteSettings
from tests.support.simulated_farm import ORIGIN, SimulatedFarm

NODES = ("n1", "n2", "n3")
STYLE = b"body { color: black }" * 40


def body_of(token: str) -> bytes:
    """The page of a token."""
    head = f"<link rel=stylesheet href=/style.css><title>{token}</title>"
    return head.encode() + b"".join(digest_of(f"{token} {part}".encode()) for part in range(sum(token.encode()) % 60))


class EveryPage(dict[str, Page]):
    """The pages of a node."""

    def get(self, token: str, default: object = None) -> Any:
        body = body_of(token)
        return Page(token, f"{ORIGIN}/{token}", "GET", 200, "text/html", time.time(), body, digest_of(body))


@implementer(IAgent)
class SlowAgent:
    """An agent whose answers take a while."""

    def __init__(self, agent: Any, seconds: float) -> None:
        self._agent = agent
        self._seconds = seconds

    def request(self, *arguments: Any) -> Deferred[Any]:
        return deferLater(reactor, random.random() * self._seconds, self._agent.request, *arguments)


class EndlessFarm(SimulatedFarm):
    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        super().__init__(NODES)
        self._seconds = seconds
        for node in self.nodes.values():
            node.pages = EveryPage()
            node.assets = {"/style.css": ("text/css", STYLE)}
            node.forget = self._confirmed  # type: ignore[method-assign]

    def now(self) -> float:
        with suppress(OSError, ValueError):
            return time.time() + float((self._folder / "clock").read_text())
        return time.time()

    def _confirmed(self, token: str, _reason: str) -> None:
        if (self._folder / "die").exists():
            (self._folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        with (self._folder / "confirmed").open("a") as confirmed:
            confirmed.write(f"{token}\n")

    def agents(self, site: SiteSettings) -> tuple[Any, Any]:
        one, two = super().agents(site)
        return SlowAgent(one, self._seconds), SlowAgent(two, self._seconds)


def main(folder: Path, more: dict[str, Any]) -> None:
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    farm = EndlessFarm(folder, more.pop("answer_seconds", 0.1))
    if pace := more.pop("upload_seconds", 0):
        uploads.INTERVAL_SECONDS = uploads.FIRST_PAUSE_SECONDS = pace
        uploads.MOST_PAUSE_SECONDS = 4 * pace
    settings = farm.settings(folder)
    if other := more.pop("secret_text", ""):
        more["secret"] = other.encode()
    for key in more.keys() & {"archive_dir"}:
        more[key] = Path(more[key])
    table = evolve(settings.crawler, give_up_after_seconds=3600, min_free_bytes=0, **{"requisites": False, **more})
    service = CrawlerService(evolve(settings, crawler=table), reactor, farm.now, farm.agents)

    def started(_service: object) -> None:
        new = folder / "ports.new"
        new.write_text(json.dumps([service.intake_port, service.admin_port]))
        new.replace(folder / "ports")

    def failed(failure: Any) -> None:
        print(f"not started: {failure.value}", flush=True)
        reactor.stop()  # type: ignore[attr-defined]

    def start() -> None:
        service.startService().addCallbacks(started, failed)

    reactor.callWhenRunning(start)  # type: ignore[attr-defined]
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
