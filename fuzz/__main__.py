"""``python -m fuzz TARGET... --seconds N [--seed S]``; exit 1 with the failing input saved where something broke."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from secrets import token_hex

from fuzz import trial
from fuzz.run import run, save
from fuzz.target import Target, load, names

_SHOWN_BYTES = 600


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(names())}; without one: all")
    parser.add_argument("--seconds", type=float, default=600, help="for each target (default: 600)")
    parser.add_argument("--inputs", type=int, help="for each target, so many inputs at most")
    parser.add_argument("--seed", default=None, help="the same seed gives the same inputs (default: a new one)")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="give the target these inputs only")
    told = parser.parse_args(arguments)
    try:
        chosen = {name: load(name) for name in told.targets or names()}
    except ValueError as error:
        parser.error(str(error))
    if told.replay:
        if len(chosen) != 1:
            parser.error("--replay needs the name of one target")
        return max(_replay(next(iter(chosen.values())), path) for path in told.replay)
    seed = told.seed if told.seed is not None else token_hex(4)
    return max([_fuzz(name, target, seed, told.seconds, told.inputs) for name, target in chosen.items()])


def _fuzz(name: str, target: Target, seed: str, seconds: float, most: int | None) -> int:
    def say(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    say(f"seed {seed}, {seconds:.0f} s")
    started = time.monotonic()
    told = run(target, seed, seconds, say, most=most)
    say(f"done after {time.monotonic() - started:.0f} s: {told.inputs} inputs, {told.kinds} kinds")
    if told.failure is None:
        return 0
    say(f"FAILED at input {told.inputs}\n{told.failure.told}")
    path, small = save(name, target, told)
    shown = repr(small) if len(small) <= _SHOWN_BYTES else f"{small[:_SHOWN_BYTES]!r}... ({len(small)} bytes)"
    say(f"the input: {path} ({len(told.data)} bytes)\nmade small: {path.with_suffix('.small')}\n{shown}")
    say(f"again: python -m fuzz {name} --replay {path.with_suffix('.small')}")
    return 1


def _replay(target: Target, path: Path) -> int:
    failure = trial.run_aside(target, path.read_bytes())
    print(f"{path}: {failure.told if failure else 'passes'}")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
