"""The runner finds what breaks in every way, says so, and keeps the input; and each target passes a short run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Hashable
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from fuzz import __main__ as command
from fuzz import run, trial
from fuzz.mutate import Mutator
from fuzz.target import Target, load, names

pytestmark = [pytest.mark.network, pytest.mark.slow]


def _raises(data: bytes) -> Hashable:
    if b"boom" in data:
        raise ValueError(len(data))
    return len(data).bit_length()


def _hangs(data: bytes) -> Hashable:
    while b"boom" in data:
        pass
    return 0


def _catches(data: bytes) -> Hashable:
    try:
        return _hangs(data)
    except Exception:
        return 1


def _dies(data: bytes) -> Hashable:
    if b"boom" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _waits_in_native_code(data: bytes) -> Hashable:
    if b"boom" in data:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGVTALRM})
        _hangs(data)
    return 0


def target_of(check: Callable[[bytes], Hashable]) -> Target:
    return Target(lambda random: [b"one", b"two"], [b"boom", b"x"], check, choices=2, cpu_seconds=0.05, max_bytes=200)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "FAILURES", tmp_path / "failures")
    return tmp_path / "failures"


@pytest.mark.parametrize("name", names())
def test_a_target_passes_a_short_run(name: str) -> None:
    target = load(name)
    result = run.run(target, "ci", 600, print, most=target.short_run)
    assert result.failure is None, f"{result.failure.description}\n{result.data!r}"
    assert result.inputs == target.short_run
    assert result.kinds > 1


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (_raises, "ValueError"),
        (_hangs, "hang"),
        (_catches, "hang"),
        (_dies, f"signal {signal.SIGKILL:d}"),
        (_waits_in_native_code, "hang"),
    ],
)
def test_what_breaks_is_found_and_made_small(check: Callable[[bytes], Hashable], kind: str, folder: Path) -> None:
    target = target_of(check)
    result = run.run(target, "a", 60, print, most=5000)
    assert result.failure is not None
    assert result.failure.kind.startswith(kind)
    assert b"boom" in result.data
    path, small = run.save("a", target, result)
    assert path.parent == folder
    assert path.read_bytes() == result.data
    assert path.with_suffix(".small").read_bytes() == small == b"\0\0boom"
    again = trial.run_in_child(target, small)
    assert again is not None
    assert again.kind == result.failure.kind


def test_nothing_broken() -> None:
    result = run.run(target_of(len), "a", 60, print, most=500)
    assert (result.inputs, result.failure) == (500, None)


def test_the_time_is_a_bound_too() -> None:
    assert run.run(target_of(lambda data: 0), "a", 0, print).inputs == 0


def test_a_feeder_that_cannot_even_start() -> None:
    def no_seeds(random: Random) -> list[bytes]:
        raise KeyError("seeds")

    with pytest.raises(RuntimeError):
        run.run(evolve(target_of(lambda data: 0), seeds=no_seeds), "a", 60, print)


def test_the_same_seed_gives_the_same_inputs() -> None:
    def drawn(seed: str) -> list[bytes]:
        mutator = Mutator(target_of(_raises), Random(seed))
        return [mutator.mutate([b"..one", b"..two"]) for _ in range(200)]

    assert drawn("a") == drawn("a") != drawn("b")
    assert all(2 <= len(one) <= 202 for one in drawn("a"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = names()[0]
    assert command.main([name, "--seconds", "60", "--inputs", "20", "--seed", "ci"]) == 0
    assert "20 inputs" in capsys.readouterr().out
    page = tmp_path / "page"
    page.write_bytes(bytes(20))
    assert command.main([name, "--replay", f"{page}"]) == 0
    with pytest.raises(SystemExit):
        command.main(["no-such-target"])
