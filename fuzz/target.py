"""The definition and the list of fuzz targets."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from random import Random

from attrs import frozen

from fuzz import targets


@frozen
class Target:
    """Something to be fed.

    :ivar seeds: the inputs to start with; all randomness is handed in.
    :ivar tokens: pieces that mutation inserts, the words of the input's language.
    :ivar check: takes one input; raises (whatever it is) where something broke. Gives what kind of input it was: one
        of a kind not seen before is kept, and mutated further. The same input must have the same done to it always.
    :ivar choices: so many bytes at an input's start are no text, but choose what is done with the rest.
    :ivar cpu_seconds: what one input may take; more is a hang.
    :ivar max_bytes: inputs are not made longer.
    :ivar short_run: the number of inputs of the run that ``make test`` does.
    """

    seeds: Callable[[Random], Sequence[bytes]]
    tokens: Sequence[bytes]
    check: Callable[[bytes], Hashable]
    choices: int = 0
    cpu_seconds: float = 2.0
    max_bytes: int = 32768
    short_run: int = 2000


def names() -> list[str]:
    """All targets."""
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load(name: str) -> Target:
    """One target.

    :raises ValueError: where there is none of that name.
    """
    if name not in names():
        raise ValueError(f"no target {name}; there are: {', '.join(names())}")
    target = import_module(f"{targets.__name__}.{name}").TARGET
    assert isinstance(target, Target)
    return target
