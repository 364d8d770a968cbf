"""``python -m bench.soak``: a million mixed requests against one companion; fails if memory or descriptors grow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click
from attrs import Factory, define
from rich.console import Console
from rich.table import Table

from bench import system_info
from bench.load import WrongAnswer
from bench.peers.companion import Companion
from bench.peers.interface import PeerFailed
from bench.soak.growth import GROWTH_MEGABYTES, GROWTH_SHARE, WARM_SHARE, GrowthCheck, Sample, descriptors, memory
from lbcompanion.demo.ports import ReservedPorts

_ROOT = Path(__file__).resolve().parents[2]
_SAMPLES = 400
_SETTLE_SECONDS = 20.0
#: The store is full long before the warm part is over.
_STORE_SHARE = 0.02
_MORE = """
[store]
max_pages = {pages}

[crawler]
intake = "http://127.0.0.1:{intake}"
"""


class SoakFailed(WrongAnswer):
    """Something is not as it must be."""


class _Companion(Companion):
    """The companion with a crawler to tell, and a store of the size that fits the run."""

    intake = 0
    pages = 0

    def command(self) -> list[str]:
        """Return the usual command; add further settings to its configuration file."""
        command = super().command()
        with (self.folder / "n1.toml").open("a") as file:
            file.write(_MORE.format(pages=self.pages, intake=self.intake))
        return command

    @property
    def secret(self) -> str:
        return self._secret

    def metrics(self) -> dict[str, float]:
        """From its admin address, labels in the name."""
        connection = HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        pairs = (line.rpartition(" ") for line in lines if line.startswith("lbcompanion_node_"))
        return {name.removeprefix("lbcompanion_node_"): float(value) for name, _, value in pairs}


class _Application:
    """The application's process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.soak.application"]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port, self.intake = self._told()

    def _told(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def told(self, line: str = "count") -> dict[str, int]:
        """Return the application's counts; with ``hang up`` it closes all connections first."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        told: dict[str, int] = self._told()
        return told

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@define
class _Soak:
    """One run."""

    companion: _Companion
    application: _Application
    visitors: int
    samples: list[Sample] = Factory(list)
    done: dict[str, int] = Factory(dict)
    notices: int = 0

    def visit(self, first: int, last: int, on_sample: Callable[[Sample], None]) -> None:
        """Requests from number to number; sampled as they go."""
        every = max(1, (last - first) // _SAMPLES)
        how = {"port": self.companion.port, "secret": self.companion.secret, "first": first, "last": last}
        plan = json.dumps({**how, "visitors": self.visitors, "every": every})
        command = [sys.executable, "-m", "bench.soak.visitors", plan]
        process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        begun = time.monotonic()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                told = json.loads(line)
                if "wrong" in told:
                    raise SoakFailed(told["wrong"])
                if "over" in told:
                    self.done, self.notices = told["over"], self.notices + told["notices"]
                    return
                pids = self.companion.pids
                resident, opened = system_info.resident_megabytes(pids), system_info.descriptors(pids)
                on_sample(Sample(told["done"], time.monotonic() - begun, resident, opened))
            raise SoakFailed("the visitors ended unasked")
        finally:
            process.kill()
            process.wait()

    def settle(self, until: Callable[[], bool]) -> bool:
        """Whether what is waited for comes."""
        give_up = time.monotonic() + _SETTLE_SECONDS
        while not until() and time.monotonic() < give_up:
            time.sleep(0.1)
        return until()

    def open_now(self) -> int:
        return system_info.descriptors(self.companion.pids)

    def all_notices_arrived(self) -> bool:
        """Whether every notice has come to the crawler."""
        return self.application.told()["notices"] >= self.notices

    def faults(self) -> Iterator[str]:
        """Yield the faults that the companion's metrics show."""
        if not self.settle(self.all_notices_arrived):
            yield f"only {self.application.told()['notices']} of {self.notices} notices came to the crawler"
        elif (came := self.application.told()["notices"]) > self.notices:
            yield f"{came} notices came to the crawler of {self.notices} that were sent"
        now = self.companion.metrics()
        for name in ("connections_open", "capturing_bytes"):
            if now[name]:
                yield f"{name} is {now[name]:.0f} with no visitor there"
        for name, value in now.items():
            if name.startswith(("failed_open_total", "requests_refused_total")) and value:
                yield f"{name} is {value:.0f}"


@contextmanager
def _running(requests: int, visitors: int) -> Iterator[_Soak]:
    with ExitStack() as stack:
        application = _Application()
        stack.callback(application.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lbcompanion-soak-")))
        ports = ReservedPorts()
        stack.callback(ports.release)
        companion = _Companion(folder / "1", application.port, ports.take(), ports.take())
        companion.intake = application.intake
        companion.pages = min(10000, max(100, int(requests * _STORE_SHARE)))
        stack.callback(companion.stop)
        companion.start()
        yield _Soak(companion, application, visitors)


def _soak(run: _Soak, requests: int, show: Callable[[Sample], None]) -> list[str]:
    """The whole run; what is wrong at its end."""
    # Every kind once and more, so that what is opened once and kept is open before descriptors are counted.
    first = max(500, requests // 100)
    run.visit(1, first + 1, lambda sample: None)
    run.settle(run.all_notices_arrived)
    run.application.told("hang up")
    time.sleep(1)
    before = run.open_now()

    def sampled(sample: Sample) -> None:
        run.samples.append(sample)
        if len(run.samples) % (_SAMPLES // 20) == 1:
            show(sample)

    run.visit(first + 1, first + 1 + requests, sampled)
    wrong = [*run.faults()]
    run.application.told("hang up")
    if not run.settle(lambda: run.open_now() <= before):
        wrong.append(f"{run.open_now()} descriptors are open at the end, {before} were at the start")
    for what, check, unit in (("memory", memory(run.samples), " MB"), ("descriptors", descriptors(run.samples), "")):
        if not check.within_limit:
            wrong.append(f"{what} grew: {_told(check, unit)}")
    return wrong


def _told(check: GrowthCheck, unit: str) -> str:
    return (
        f"{check.first:.1f}{unit} in the first tenth, {check.last:.1f}{unit} in the last,"
        f" {check.allowed:.1f}{unit} allowed"
    )


def _table(run: _Soak) -> Table:
    table = Table(title="Requests by kind")
    table.add_column("kind")
    table.add_column("done", justify="right")
    for kind, number in sorted(run.done.items(), key=lambda one: -one[1]):
        table.add_row(kind.replace("_", " "), f"{number:,}")
    return table


@click.command(context_settings={"max_content_width": 110})
@click.option("--requests", default=1_000_000, show_default=True, type=click.IntRange(1000))
@click.option("--visitors", default=24, show_default=True, type=click.IntRange(1, 500), help="at once")
@click.option("--json", "as_json", is_flag=True, help="print samples and outcome as JSON")
def main(requests: int, visitors: int, as_json: bool) -> None:
    """Mixed requests against one companion, every answer checked; exit code 1 if memory or descriptors grow."""
    console = Console(stderr=as_json, highlight=False)

    def show(sample: Sample) -> None:
        console.print(
            f"{sample.done:>10,} requests  {sample.seconds:7.1f} s  {sample.resident_mb:7.1f} MB"
            f"  {sample.descriptors:5} descriptors"
        )

    # What was started is to be ended, also when this is.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    disturbance = system_info.Disturbance()
    begun = time.monotonic()
    try:
        with _running(requests, visitors) as run:
            wrong = _soak(run, requests, show)
    except (PeerFailed, WrongAnswer) as error:
        console.print(f"soak: {error}", style="bold", markup=False, soft_wrap=True)
        sys.exit(1)
    show(run.samples[-1])
    console.print(_table(run))
    console.print(f"memory: {_told(memory(run.samples), ' MB')}")
    console.print(f"descriptors: {_told(descriptors(run.samples), '')}")
    console.print(
        f"{requests:,} requests in {run.samples[-1].seconds:.0f} s, {requests / run.samples[-1].seconds:.0f} a second;"
        f" with all around it {time.monotonic() - begun:.0f} s. The first {WARM_SHARE:.0%} are not judged;"
        f" memory may grow by {GROWTH_SHARE:.0%} or {GROWTH_MEGABYTES:g} MB, whichever is more."
        f" {system_info.python()}.",
        soft_wrap=True,
    )
    told = disturbance.since_start(0.0)
    console.print(f"Load average {told['load_before']} before, {told['load_after']} after, of others and of this.")
    for one in wrong:
        console.print(f"FAILED: {one}", style="bold", markup=False, soft_wrap=True)
    if as_json:
        samples = [
            [sample.done, round(sample.seconds, 2), round(sample.resident_mb, 2), sample.descriptors]
            for sample in run.samples
        ]
        print(json.dumps({"requests": requests, "done": run.done, "wrong": wrong, "samples": samples}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
