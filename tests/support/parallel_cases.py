"""Cases that run several at a time, since each waits more than it works; what asks for one of them gets its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support import tomcat
from tests.support.children import Children, wait_for
from tests.support.farm import NODES, Applications, ProcessFarm, listens, plain_applications
from tests.support.routing_cases import Case
from tests.support.visitors import VisitorGroup

#: Two processors are busy with so many.
PARALLEL = 3


class Environment:
    """The applications that the farms of all cases share; they start when the first farm needs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = ReservedPorts()
        self._children = Children(folder)
        self._lock = Lock()
        self._made: dict[bool, Applications] = {}

    def applications(self, of_tomcat: bool) -> Applications:
        with self._lock:
            if of_tomcat not in self._made:
                self._made[of_tomcat] = self._tomcats() if of_tomcat else self._plain()
            return self._made[of_tomcat]

    def _plain(self) -> Applications:
        return plain_applications(self._children, self._ports, self._folder, "tests.support.session_site")

    def _tomcats(self) -> Applications:
        ledger = self._folder / "ledger-of-tomcat"
        ledger.mkdir()
        made = Applications({name: self._ports.take() for name in NODES}, ledger)
        child = self._children.start("tomcat", tomcat.command(self._folder / "tomcat", made.ports, ledger))
        for name, port in made.ports.items():
            wait_for(f"Tomcat's {name}", lambda at=port: listens(at, "/style.css"), 60, child)  # type: ignore[misc]
        return made

    @contextmanager
    def visitor_group(self, name: str, case: Case, **more: Any) -> Iterator[VisitorGroup]:
        """A farm and its visitors; the ends of its logs go with a failure, because a thread runs it."""
        folder = self._folder / "".join(char if char.isalnum() else "-" for char in name)
        folder.mkdir()
        ports, children = ReservedPorts(), Children(folder)
        applications = self.applications(case.tomcat)
        settings = {"site_lines": case.site_lines, **case.more, **more}
        farm = ProcessFarm(folder, children, ports, applications, case.kind, case.sticky, **settings)
        try:
            farm.start()
            yield VisitorGroup(farm, case.sticks, case.late, case.by_address)
        except AssertionError as failure:
            failure.add_note(children.last_words())
            raise
        finally:
            farm.stop()
            ports.release()

    def stop(self) -> None:
        self._children.kill()
        self._ports.release()


class ParallelCases:
    """Runs cases.

    :param names: of those that somebody will ask for.
    """

    def __init__(self, names: Collection[str], run: Callable[[str], None]) -> None:
        self._pool = ThreadPoolExecutor(PARALLEL)
        self._running = {name: self._pool.submit(run, name) for name in names}

    def ended(self, name: str) -> None:
        """Wait for its end, and fail as it did."""
        self._running[name].result()

    def stop(self) -> None:
        """Begin no more, and wait for those that run."""
        self._pool.shutdown(cancel_futures=True)


def chosen(session: pytest.Session, function: str) -> list[str]:
    """The ``name`` parameters of a test function that this session runs, in order."""
    items = [item for item in session.items if getattr(item, "originalname", "") == function]
    return [item.callspec.params["name"] for item in items if isinstance(item, pytest.Function)]
