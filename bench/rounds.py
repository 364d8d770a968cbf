"""The rounds: all peers run at once, and take the load in turns, so that what disturbs one disturbs all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import Factory, define

from bench.machine import Cpu, peak_megabytes
from bench.peers.interface import Peer, PeerFailed
from bench.workload import PAGE

_ROOT = Path(__file__).resolve().parents[1]
_LATENCY_REQUESTS = 400
_WARM_REQUESTS = 500
_ROUND_SECONDS = 60


@define
class Samples:
    """What was measured of one peer, a value for each round.

    :ivar cpu_us: CPU microseconds for each request.
    :ivar system_share: of it, in the kernel.
    :ivar per_second: requests; says more about visitors and application than about the peer.
    :ivar p50_us: with one connection.
    :ivar added_p50_us: less the same of the application itself in the same round.
    """

    cpu_us: list[float] = Factory(list)
    system_share: list[float] = Factory(list)
    per_second: list[float] = Factory(list)
    p50_us: list[float] = Factory(list)
    added_p50_us: list[float] = Factory(list)
    peak_mb: float = 0.0


def _load(port: int, coding: str, tagged: bool, requests: int, connections: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.load", str(port), "--coding", coding]
    command += ["--requests", str(requests), "--connections", str(connections), "--seconds", str(_ROUND_SECONDS)]
    if tagged:
        command.append("--tagged")
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=_ROUND_SECONDS + 30)
    if done.returncode not in (0, 1) or not done.stdout:
        raise PeerFailed(f"the load ended with {done.returncode}: {done.stderr[-500:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    if "wrong" in told:
        raise PeerFailed(f"a wrong answer: {told['wrong']}")
    return told


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


class Rounds:
    """Rounds over running peers.

    :param say: told of each round, in words.
    """

    def __init__(
        self,
        origin: Origin,
        peers: list[Peer],
        codings: list[str],
        requests: int,
        connections: int,
        say: Callable[[str], None],
    ) -> None:
        self._origin = origin
        self._peers = peers
        self._codings = codings
        self._requests = requests
        self._connections = connections
        self._say = say
        self.samples = {coding: {peer.name: Samples() for peer in peers} for coding in codings}

    def run(self, count: int) -> None:
        """Warm up, then ``count`` rounds: in each, every coding and every peer.

        :raises PeerFailed: for an answer that is not right, or a copy that is not the page.
        """
        for coding in self._codings:
            for peer in self._peers:
                self._loaded(peer, coding, _WARM_REQUESTS, self._connections)
        for number in range(1, count + 1):
            for coding in self._codings:
                self._round(coding)
            self._say(f"round {number} of {count}")
        for peer in self._peers:
            for coding in self._codings:
                self.samples[coding][peer.name].peak_mb = peak_megabytes(peer.pids)

    def _round(self, coding: str) -> None:
        direct = _load(self._origin.port, coding, False, _LATENCY_REQUESTS, 1)["p50_us"]
        for peer in self._peers:
            samples = self.samples[coding][peer.name]
            before = Cpu.of(peer.pids)
            told = self._loaded(peer, coding, self._requests, self._connections)
            used = Cpu.of(peer.pids).since(before)
            samples.cpu_us.append(1e6 * used.total / self._requests)
            samples.system_share.append(used.system / max(used.user + used.system, 1e-9))
            samples.per_second.append(told["per_second"])
            alone = self._loaded(peer, coding, _LATENCY_REQUESTS, 1)["p50_us"]
            samples.p50_us.append(alone)
            samples.added_p50_us.append(alone - direct)

    def _loaded(self, peer: Peer, coding: str, requests: int, connections: int) -> dict[str, Any]:
        try:
            told = _load(peer.port, coding, peer.tagged, requests, connections)
            if peer.tagged and peer.copy(told["last_token"]) != PAGE:
                raise PeerFailed("the copy is not the page")
        except PeerFailed as error:
            raise PeerFailed(f"{peer.name}, {coding}: {error}") from None
        return told
