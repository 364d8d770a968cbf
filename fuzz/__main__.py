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
    result = parser.parse_args(arguments)
    try:
        chosen = {name: load(name) for name in result.targets or names()}
    except ValueError as error:
        parser.error(str(error))
    if result.replay:
        if len(chosen) != 1:
            parser.error("--replay needs the name of one target")
        return max(_replay(next(iter(chosen.values())), path) for path in result.replay)
    seed = result.seed if result.seed is not None else token_hex(4)
    return max([_fuzz(name, target, seed, result.seconds, result.inputs) for name, target in chosen.items()])


def _fuzz(name: str, target: Target, seed: str, seconds: float, most: int | None) -> int:
    def log(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    log(f"seed {seed}, {seconds:.0f} s")
    started = time.monotonic()
    result = run(target, seed, seconds, log, most=most)
    log(f"done after {time.monotonic() - started:.0f} s: {result.inputs} inputs, {result.kinds} kinds")
    if result.failure is None:
        return 0
    log(f"FAILED at input {result.inputs}\n{result.failure.description}")
    path, small = save(name, target, result)
    shown = repr(small) if len(small) <= _SHOWN_BYTES else f"{small[:_SHOWN_BYTES]!r}... ({len(small)} bytes)"
    log(f"the input: {path} ({len(result.data)} bytes)\nmade small: {path.with_suffix('.small')}\n{shown}")
    log(f"again: python -m fuzz {name} --replay {path.with_suffix('.small')}")
    return 1


def _replay(target: Target, path: Path) -> int:
    failure = trial.run_in_child(target, path.read_bytes())
    print(f"{path}: {failure.description if failure else 'passes'}")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
