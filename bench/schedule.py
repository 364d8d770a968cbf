"""The rounds: all peers run at once, and take the load in turns, so that what disturbs one disturbs all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import Factory, define, frozen

from bench.load import Load, WrongAnswer
from bench.peers.interface import Peer, PeerFailed
from bench.system_info import Cpu
from bench.workload import CASES, MEGABYTE, Case

_ROOT = Path(__file__).resolve().parents[1]
_WARM_SHARE = 0.15
_MIN_REQUESTS = 20
_MIN_CONNECTIONS = 4
#: So that a slow peer does not take longer than a load may.
_FILL_AT_ONCE = 2000
#: Below so many a 99th percentile says nothing.
_MIN_WAITS = 200


@define
class Samples:
    """The measurements of one peer with one case, one value for each round.

    :ivar cpu_us: CPU microseconds for each request, and for each megabyte of what is streamed.
    :ivar system_share: of it, in the kernel.
    :ivar per_second: requests; says more about visitors and application than about the peer.
    :ivar added_p50_us: the median wait of one visitor, less that of one who asks the application itself by turns.
    :ivar added_p99_us: likewise, of the 99th percentile.
    """

    cpu_us: list[float] = Factory(list)
    system_share: list[float] = Factory(list)
    per_second: list[float] = Factory(list)
    added_p50_us: list[float] = Factory(list)
    added_p99_us: list[float] = Factory(list)


@frozen
class Effort:
    """How much is asked for.

    :ivar rounds: how many.
    :ivar scale: of every case's number of requests.
    :ivar waits: requests of one visitor for each page case in a round.
    :ivar fill: 10 KB pages that fill the stores of all capturing peers before the captured pages are measured again.
    """

    rounds: int
    scale: float
    waits: int
    fill: int = 0


class Origin:
    """The application as a process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.origin"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Schedule:
    """Rounds over running peers.

    :param waiting: keys of the cases with which the waits of one visitor are measured.
    :param say: told of each round, in words.
    """

    def __init__(
        self,
        origin: Origin,
        load: Load,
        peers: list[Peer],
        cases: list[Case],
        waiting: list[str],
        effort: Effort,
        say: Callable[[str], None],
    ) -> None:
        self._origin = origin
        self._load = load
        self._peers = peers
        self._cases = cases
        self._waiting = waiting
        self._effort = effort
        self._log = say
        self.samples = {case.key: {peer.name: Samples() for peer in self._taking(case)} for case in cases}

    def run(self) -> None:
        """Warm up, then run the rounds: each has every case and every peer, in changing order.

        :raises PeerFailed: for an answer that is not right, or a copy that is not the page.
        """
        for case in self._cases:
            for peer in self._taking(case):
                self._put_load(peer, case, self._requests(peer, case, _WARM_SHARE))
        for number in range(self._effort.rounds):
            for case in self._cases:
                peers = self._taking(case)
                at = number % max(len(peers), 1)
                for peer in peers[at:] + peers[:at]:
                    self._measure(peer, case)
            self._log(f"round {number + 1} of {self._effort.rounds}")

    def _taking(self, case: Case) -> list[Peer]:
        """The peers that take a case, in the order in which they were given."""
        return [peer for peer in self._peers if peer.takes(case)]

    def fill(self) -> None:
        """Fill the stores of the peers that capture. A peer with a small share of the requests is left as it is."""
        case = CASES["page-10k"]
        for peer in self._peers:
            if not peer.tagged or peer.share != 1:
                continue
            left = self._effort.fill
            while left > 0:
                self._put_load(peer, case, min(left, _FILL_AT_ONCE))
                left -= _FILL_AT_ONCE
            self._log(f"store filled: {peer.name}")

    def _requests(self, peer: Peer, case: Case, share: float = 1.0) -> int:
        return max(
            2 if case.streamed else _MIN_REQUESTS, round(case.requests * self._effort.scale * peer.share * share)
        )

    def _measure(self, peer: Peer, case: Case) -> None:
        samples = self.samples[case.key][peer.name]
        requests = self._requests(peer, case)
        before = Cpu.of(peer.pids)
        result = self._put_load(peer, case, requests)
        used = Cpu.of(peer.pids).since(before)
        unit = requests * case.size / MEGABYTE if case.streamed else requests
        samples.cpu_us.append(1e6 * used.total / unit)
        samples.system_share.append(used.system / max(used.user + used.system, 1e-9))
        samples.per_second.append(result["per_second"])
        if case.key in self._waiting:
            self._wait(peer, case, samples)

    def _put_load(self, peer: Peer, case: Case, requests: int) -> dict[str, Any]:
        tagged = peer.tagged and case.captured
        try:
            # In the measure of the requests, so that a connection's cost is shared by as many with every peer.
            connections = max(_MIN_CONNECTIONS, round(case.connections * peer.share))
            result = self._load.put(peer.port_for(case), case.key, tagged, requests, connections)
            if tagged and peer.copy(result["last_token"]) != case.body:
                raise PeerFailed("the copy is not the page")
        except (PeerFailed, WrongAnswer) as error:
            raise PeerFailed(f"{peer.name}, {case.title}: {error}") from None
        return result

    def _wait(self, peer: Peer, case: Case, samples: Samples) -> None:
        tagged = peer.tagged and case.captured
        waits = self._effort.waits
        requests = min(waits, max(_MIN_WAITS, round(waits * peer.share)))
        try:
            result = self._load.waits(peer.port, self._origin.port, case.key, tagged, requests)
        except WrongAnswer as error:
            raise PeerFailed(f"{peer.name}, {case.title}, one visitor: {error}") from None
        samples.added_p50_us.append(result["p50_us"] - result["direct_p50_us"])
        samples.added_p99_us.append(result["p99_us"] - result["direct_p99_us"])
