"""Possessive repetitions of groups in regular expressions, also for Python before 3.11.5.

There, ``(?:x)*+`` goes on behind bytes that the last, failed attempt of ``x`` has read (gh-106052, changes of Python
3.11.5). Debian 12 has Python 3.11.2. A group with an empty alternative never fails: ``(?:x|)*+`` is right in all
versions. Repetitions of one character or one set, such as ``[a-z]*+``, are right as well.
"""

from __future__ import annotations

from typing import AnyStr


def one_or_more(alternatives: AnyStr) -> AnyStr:
    """What ``(?:alternatives)++`` means.

    :param alternatives: a pattern that never matches empty text.
    """
    if isinstance(alternatives, str):
        return f"(?={alternatives})(?:{alternatives}|)*+"
    return b"(?=" + alternatives + b")(?:" + alternatives + b"|)*+"
