"""The comments that mark excluded blocks, and the blocks between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: A word in every mark, in lower case.
EXCLUDE_WORD = b"lbc:exclude"

#: Where a mark begins and ends in the page, and whether it opens a block.
Mark = tuple[int, int, bool]

_TEXT = re.compile(r"[ \t\n\r\f\v]*/?lbc:exclude[ \t\n\r\f\v]*", re.IGNORECASE)


def is_mark(comment: str) -> bool:
    """Whether a comment with this text is a mark."""
    return bool(_TEXT.fullmatch(comment))


def unbalanced(marks: Iterable[Mark]) -> list[bool]:
    """The marks without a counterpart: True for one that opens."""
    unmatched: list[bool] = []
    for _, _, opens in marks:
        if not opens and unmatched and unmatched[-1]:
            unmatched.pop()
        else:
            unmatched.append(opens)
    return unmatched


def blocks(marks: Iterable[Mark], length: int) -> Iterator[tuple[int, int]]:
    """The excluded blocks of a page, in its order; one that is not closed goes to the end.

    :param length: of the page.
    """
    depth = first = 0
    for start, end, opens in marks:
        if opens:
            first = first if depth else start
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield first, end
    if depth:
        yield first, length
