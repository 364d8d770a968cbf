"""The companion's command with an eye on its CPU time: ``python -m bench.sampler HOW FILE node --config ...``.

The first SIGUSR2 opens the eye, the second closes it and writes FILE, as JSON. HOW is ``sampled``: the stack is looked
at as often as the kernel's clock ticks while CPU is used; it costs little and hides little; time in C belongs to the
line that called it. Or ``calls``: :mod:`cProfile`, with exact counts, and C functions by name, but small functions look
dearer than they are.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import signal
import sys
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from lbcompanion.cli import main as command

_SAMPLE_SECONDS = 0.001


def _named(code: CodeType) -> str:
    return f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}"


class _Profiler(ABC):
    """A profiler; yields rows of name, own share, cumulated share, calls (0 if unknown)."""

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def close(self) -> dict[str, Any]: ...


class _StackSampler(_Profiler):
    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._with: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()

    def open(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, _SAMPLE_SECONDS, _SAMPLE_SECONDS)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self._own[_named(frame.f_code)] += 1
        self._lines[f"{frame.f_code.co_filename}:{frame.f_lineno or 0}"] += 1
        codes: set[CodeType] = set()
        while frame is not None:
            codes.add(frame.f_code)
            frame = frame.f_back
        self._with.update(map(_named, codes))

    def close(self) -> dict[str, Any]:
        signal.setitimer(signal.ITIMER_PROF, 0)
        every = max(1, self._own.total())
        rows = [[name, self._own[name] / every, count / every, 0] for name, count in self._with.items()]
        lines = [[name, count / every] for name, count in self._lines.most_common()]
        return {"looks": self._own.total(), "rows": rows, "lines": lines}


class _CallProfiler(_Profiler):
    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def open(self) -> None:
        self._profile.enable()

    def close(self) -> dict[str, Any]:
        self._profile.disable()
        stats: dict[Any, Any] = pstats.Stats(self._profile).stats  # type: ignore[attr-defined]
        every = sum(stat[2] for stat in stats.values()) or 1.0
        rows = [
            [f"{file}:{line} {name}", own / every, cumulated / every, calls]
            for (file, line, name), (_, calls, own, cumulated, _) in stats.items()
        ]
        return {"looks": 0, "rows": rows, "lines": []}


def main() -> None:
    """Arm the eye, then be the command."""
    how, file, *arguments = sys.argv[1:]
    profiler: _Profiler = _StackSampler() if how == "sampled" else _CallProfiler()
    opened = False

    def turn(number: int, frame: FrameType | None) -> None:
        nonlocal opened
        if not opened:
            opened = True
            profiler.open()
        else:
            partial = Path(f"{file}.partial")
            partial.write_text(json.dumps(profiler.close()))
            partial.rename(file)

    signal.signal(signal.SIGUSR2, turn)
    command(arguments)


if __name__ == "__main__":
    main()
