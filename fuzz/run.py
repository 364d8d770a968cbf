"""A target fed for a while: the feeding process, and the one that watches over it."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import struct
import time
from collections.abc import Callable, Hashable
from hashlib import sha256
from pathlib import Path
from random import Random

from attrs import frozen

from fuzz import shrink, trial
from fuzz.mutate import Mutator
from fuzz.target import Target

#: Where failing inputs go.
FAILURES = Path(__file__).parent / "failures"
_POOL = 4096
_STATE = struct.Struct("=QQQ")
_PROGRESS_SECONDS = 60
_LOOK_SECONDS = 0.2
_SHRINK_SECONDS = 60


@frozen
class FuzzResult:
    """How a run went.

    :ivar inputs: how many were given.
    :ivar kinds: how many kinds of input there were.
    :ivar failure: None: none failed.
    :ivar data: the input that failed.
    """

    inputs: int
    kinds: int
    failure: trial.Failure | None = None
    data: bytes = b""


class _Shared:
    """The child process's state in shared memory: current input, counts and, if it could report one, the failure."""

    def __init__(self, target: Target) -> None:
        self._room = target.choices + target.max_bytes
        self._memory = mmap.mmap(-1, _STATE.size + self._room + 65536)

    def write(self, inputs: int, kinds: int, data: bytes) -> None:
        self._memory[_STATE.size : _STATE.size + len(data)] = data
        self._memory[: _STATE.size] = _STATE.pack(inputs, kinds, len(data))

    def read(self) -> tuple[int, int, bytes]:
        inputs, kinds, length = _STATE.unpack(self._memory[: _STATE.size])
        return inputs, kinds, self._memory[_STATE.size : _STATE.size + length]

    def fail(self, failure: trial.Failure) -> None:
        message = pickle.dumps((failure.kind, failure.description[-8192:]))
        at = _STATE.size + self._room
        self._memory[at : at + len(message)] = message

    def failure(self) -> trial.Failure:
        return trial.Failure(*pickle.loads(self._memory[_STATE.size + self._room :]))


def feed(target: Target, seed: str, seconds: float, most: int | None, shared: _Shared) -> None:
    """Give inputs to a target until time, or their number, is over; the seeds come first, as they are."""
    random = Random(seed)
    mutator = Mutator(target, random)
    pool = [bytes(one) for one in target.seeds(random)]
    waiting = list(reversed(pool))
    seed_count = len(pool)
    kinds: set[Hashable] = set()
    deadline = time.monotonic() + seconds
    inputs = 0
    while time.monotonic() < deadline and (most is None or inputs < most):
        # Half of the time a seed, half of the time a mutated one: the seeds are all that is not made up. A bounded run
        # takes them by turns too.
        data = waiting.pop() if waiting and (most is None or inputs % 2) else mutator.mutate(pool)
        inputs += 1
        shared.write(inputs, len(kinds), data)
        kind = trial.run(target, data)
        if isinstance(kind, trial.Failure):
            shared.fail(kind)
            os._exit(1)
        if kind in kinds:
            continue
        kinds.add(kind)
        if len(pool) < seed_count + _POOL:
            pool.append(data)
        else:
            pool[seed_count + random.randrange(_POOL)] = data
    shared.write(inputs, len(kinds), b"")


def run(
    target: Target, seed: str, seconds: float, log: Callable[[str], None], *, most: int | None = None
) -> FuzzResult:
    """Feed a target in a process of its own.

    :param most: so many inputs at most.
    :param log: called with the progress, once a minute.
    """
    shared = _Shared(target)
    started = time.monotonic()
    child = os.fork()
    if not child:
        code = 2
        try:
            trial.arm()
            feed(target, seed, seconds, most, shared)
            code = 0
        finally:
            os._exit(code)
    try:
        status = _watch(child, started, shared, log)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    inputs, kinds, data = shared.read()
    if os.WIFSIGNALED(status):
        return FuzzResult(inputs, kinds, trial.failure_of_signal(os.WTERMSIG(status)), data)
    code = os.WEXITSTATUS(status)
    if code == 1:
        return FuzzResult(inputs, kinds, shared.failure(), data)
    if code:
        raise RuntimeError("the feeder itself failed; its traceback stands above")
    return FuzzResult(inputs, kinds)


def _watch(child: int, started: float, shared: _Shared, log: Callable[[str], None]) -> int:
    result = started
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        if now - result >= _PROGRESS_SECONDS:
            result += _PROGRESS_SECONDS
            inputs, kinds, _ = shared.read()
            log(f"{now - started:.0f} s, {inputs} inputs, {kinds} kinds")


def save(name: str, target: Target, result: FuzzResult) -> tuple[Path, bytes]:
    """Save the input that failed, and make it small.

    :returns: the file that holds it as it was, and the small one; ``.small`` beside the file holds that.
    """
    assert result.failure is not None
    FAILURES.mkdir(exist_ok=True)
    path = FAILURES / f"{name}-{sha256(result.data).hexdigest()[:12]}"
    path.write_bytes(result.data)
    small = shrink.shrink(target, result.data, result.failure.kind, _SHRINK_SECONDS)
    path.with_suffix(".small").write_bytes(small)
    return path, small
