"""What all measurements of growth need: the application, the visitors, and nodes with further tables."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, frozen

from bench.load import Load
from bench.peers.companion import Companion
from bench.schedule import Origin
from bench.system_info import Cpu, resident_megabytes
from bench.workload import Case
from lbcompanion.demo.ports import ReservedPorts

BUSY = 32


@frozen
class Effort:
    """How much is measured; tests measure less.

    :ivar rounds: of everything, each with nodes of its own.
    :ivar connections: numbers of idle connections.
    :ivar copies: numbers of stored copies.
    :ivar rules: numbers of rules in a list.
    :ivar requests: of a measured load.
    :ivar seconds: how long an idle process is watched.
    :ivar settle: seconds until the memory of a process is read.
    """

    rounds: int = 3
    connections: tuple[int, ...] = (10, 1_000, 9_000)
    copies: tuple[int, ...] = (1_000, 10_000, 100_000)
    rules: tuple[int, ...] = (10, 100, 1_000)
    requests: int = 3_000
    seconds: float = 5.0
    settle: float = 1.0


#: Figures of a part: by the figure's title and the name of a series, the values of each round at each number.
Values = dict[str, dict[str, dict[int, list[float]]]]


def add(values: Values, figure: str, series: str, number: int, value: float) -> None:
    """Add the value of one round."""
    values.setdefault(figure, {}).setdefault(series, {}).setdefault(number, []).append(value)


class GrowingNode(Companion):
    """A companion whose configuration has further lines and lists."""

    tables = ""
    excluded: tuple[str, ...] = ()
    capture_lines = ""
    node_lines = ""

    def further(self) -> str:
        """Return further tables."""
        return self.tables

    def not_captured(self) -> list[str]:
        """Return the paths that are not captured."""
        return [*super().not_captured(), *self.excluded]

    def further_capture(self) -> str:
        """Return further lines of ``[capture]``."""
        return self.capture_lines

    def further_node(self) -> str:
        """Return further lines of ``[node]``."""
        return self.node_lines

    @property
    def resident_kb(self) -> float:
        """The memory that is resident now."""
        return 1024 * resident_megabytes(self.pids)


@define
class Setting:
    """The application and the visitors, as processes, and a folder for nodes."""

    origin: Origin
    load: Load
    say: Callable[[str], None]
    _folder: Path
    _ports: ReservedPorts
    _number: int = 0

    @contextmanager
    def node(
        self,
        tables: str = "",
        excluded: tuple[str, ...] = (),
        capture_lines: str = "",
        node_lines: str = "",
        tls: bool = False,
    ) -> Iterator[GrowingNode]:
        """A node that runs; it is stopped at the end."""
        self._number += 1
        folder = self._folder / str(self._number)
        tls_port = self._ports.take() if tls else 0
        made = GrowingNode(folder, self.origin.port, self._ports.take(), self._ports.take(), tls_port)
        made.tables, made.excluded = tables, excluded
        made.capture_lines, made.node_lines = capture_lines, node_lines
        try:
            made.start()
            yield made
        finally:
            made.stop()

    def page_us(self, node: GrowingNode, case: Case, requests: int) -> float:
        """CPU microseconds for a page of 32 busy visitors; every answer is checked."""
        before = Cpu.of(node.pids)
        self.load.put(node.port_for(case), case.key, case.captured, requests, BUSY)
        return 1e6 * Cpu.of(node.pids).since(before).total / requests


@contextmanager
def setting(folder: Path, say: Callable[[str], None]) -> Iterator[Setting]:
    """The application and the visitors while they run."""
    with ExitStack() as stack:
        origin, load = stack.enter_context(Origin()), stack.enter_context(Load())
        ports = ReservedPorts()
        stack.callback(ports.release)
        yield Setting(origin, load, say, folder, ports)


def descriptors_for(connections: int) -> bool:
    """Whether a node may have this number of visitors' connections; raises the limit of this process if it can.

    A node lowers ``limits.connections`` if its limit of open files is too low.
    """
    # The default of limits.connections, twice, and some more; see NodeService.
    wanted = 2 * connections + 1_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or wanted <= hard:
        return True
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        return False
    return True
