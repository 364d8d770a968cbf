"""One input under guard: what breaks is told, in whatever way it breaks.

Two clocks of CPU time run for each input. The first raises :class:`Hang` in Python's code; where that is not heard,
because native code does not come back, the second one ends the process.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import traceback
from collections.abc import Hashable
from types import FrameType

from attrs import frozen

from fuzz.target import Target

_HARD_FACTOR = 4


class Hang(BaseException):
    """An input took too long. No ``Exception``: what is under test must not catch it."""


@frozen
class Failure:
    """How it broke.

    :ivar kind: the same for the same fault, whatever the input says.
    :ivar description: for a reader.
    """

    kind: str
    description: str


def arm() -> None:
    """Set the guards' handlers; once in a process."""
    signal.signal(signal.SIGVTALRM, _hang)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _hang(signum: int, frame: FrameType | None) -> None:
    raise Hang


def run(target: Target, data: bytes) -> Hashable | Failure:
    """Give one input to a target: the input's kind, or the failure."""
    try:
        signal.setitimer(signal.ITIMER_PROF, _HARD_FACTOR * target.cpu_seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, target.cpu_seconds)
        try:
            return target.check(data)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
    except KeyboardInterrupt:
        raise
    except Hang:
        return Failure("hang", f"a hang: more than {target.cpu_seconds} s of CPU time\n{traceback.format_exc()}")
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = [f"{frame.filename}:{frame.lineno}" for frame in frames[-1:]]
        return Failure(f"{type(error).__name__} {last}", traceback.format_exc())


def failure_of_signal(number: int) -> Failure:
    """The failure of a process that a signal ended."""
    if number == signal.SIGPROF:
        return Failure("hang", "a hang in native code")
    return Failure(f"signal {number}", f"a crash: ended by {signal.Signals(number).name}")


def run_in_child(target: Target, data: bytes) -> Failure | None:
    """Run one input in a child process, so that the caller survives a crash."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        arm()
        failure = run(target, data)
        if isinstance(failure, Failure):
            os.write(write, pickle.dumps((failure.kind, failure.description[-4096:])))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return failure_of_signal(os.WTERMSIG(status))
    return Failure(*pickle.loads(message)) if message else None
