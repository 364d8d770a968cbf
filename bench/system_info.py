"""CPU time and memory of processes, and the load by others meanwhile, from ``/proc``. Linux only."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
import time
from pathlib import Path

from attrs import frozen

_PROC = Path("/proc")


def process_tree(pid: int) -> list[int]:
    """A process and its descendants (nginx's workers)."""
    found = [pid]
    for one in found:
        for task in (_PROC / str(one) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


@frozen
class Cpu:
    """CPU time, in seconds.

    :ivar total: user and system time, exact.
    :ivar user: in ticks of ``/proc/PID/stat``, a hundredth of a second as a rule: for proportions only.
    :ivar system: likewise.
    """

    total: float
    user: float
    system: float

    @classmethod
    def of(cls, pids: list[int]) -> Cpu:
        """Return the CPU time of these processes since their start, all threads included."""
        total = user = system = 0.0
        for pid in pids:
            # clock_getcpuclockid(3) makes this number of a process id: utime + stime, not rounded to ticks.
            total += time.clock_gettime_ns((~pid << 3) | 2) / 1e9
            ticks = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            user += int(ticks[11]) / os.sysconf("SC_CLK_TCK")
            system += int(ticks[12]) / os.sysconf("SC_CLK_TCK")
        return cls(total, user, system)

    def since(self, before: Cpu) -> Cpu:
        """The difference."""
        return Cpu(self.total - before.total, self.user - before.user, self.system - before.system)


_PAGE_MEGABYTES = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def resident_megabytes(pids: list[int]) -> float:
    """The memory that is resident now, of all of them together; what they share counts for each."""
    return sum(int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_MEGABYTES for pid in pids)


def descriptors(pids: list[int]) -> int:
    """How many file descriptors are open in all of them."""
    return sum(len(os.listdir(_PROC / str(pid) / "fd")) for pid in pids)


class Disturbance:
    """How the machine was shared from now on."""

    def __init__(self) -> None:
        self._load_before = os.getloadavg()[0]
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[int, int, int]:
        numbers = [int(one) for one in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        # user, nice, system, idle, iowait, irq, softirq, steal: proc(5)
        return sum(numbers), numbers[3] + numbers[4], numbers[7]

    def since_start(self, ours: float) -> dict[str, float]:
        """Shares of all CPU time since the start, in per cent, and the load average then and now.

        :param ours: CPU seconds that the bench and all it started have used.
        """
        every, idle, steal = (now - before for now, before in zip(self._read(), self._before, strict=True))
        every = max(every, 1)
        busy = (every - idle - steal) / os.sysconf("SC_CLK_TCK")
        return {
            "load_before": round(self._load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "steal_percent": round(100 * steal / every, 2),
            "idle_percent": round(100 * idle / every, 1),
            "others_percent": round(max(0.0, 100 * (busy - ours) * os.sysconf("SC_CLK_TCK") / every), 1),
        }


def kind() -> dict[str, str | int]:
    """Describe the machine without identifying it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (_PROC / "cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    return {"cores": len(os.sched_getaffinity(0)), "processor": model, "kernel": os.uname().release.split("-")[0]}


def python() -> str:
    """The version of Python and how it was built, in one line: profile-guided optimisation saves a fifth or more.

    A distribution's does not tell how it was built, so a fixed piece of work is timed as well.
    """
    variables = " ".join(str(value) for value in sysconfig.get_config_vars().values())
    if "--enable-optimizations" in variables or " -fprofile-use" in variables.replace(_PREPARED, ""):
        build = "with profile-guided optimisation"
    elif sys.base_prefix == "/usr":
        build = "as the distribution built it"
    else:
        build = "WITHOUT profile-guided optimisation"
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}, {build}"
        f" (a fixed piece of Python took {_speed_ms():.1f} ms)"
    )


# Stands in every Makefile, whether it is used or not.
_PREPARED = str(sysconfig.get_config_var("PGO_PROF_USE_FLAG"))


def _speed_ms() -> float:
    """CPU milliseconds of a little of what a proxy written in Python does; the least of some."""

    def work() -> int:
        total = 0
        for number in range(3000):
            line = b"Header-%d: some value" % number
            name, _, value = line.partition(b": ")
            fields = {name.lower(): value}
            total += len(fields[name.lower()]) + len([part for part in value.split(b" ") if part])
        return total

    took = []
    for _ in range(9):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return 1000 * min(took)
