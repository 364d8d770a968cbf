"""New inputs out of old ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from fuzz.target import Target

_ODD_BYTES = b"\x00\t\n\x0b\x0c\r \x1b\"&'-/;<=>?[]\x7f\x80\xbf\xc3\xe2\xef\xfe\xff"
_MAX_STEPS = 6
_MOST_REPEATS = 400


class Mutator:
    """Changes inputs at random.

    :param random: where all chance comes from.
    """

    def __init__(self, target: Target, random: Random) -> None:
        self._random = random
        self._tokens = target.tokens
        self._choices = target.choices
        self._max_bytes = target.max_bytes
        # Tokens count most: single bytes seldom make a language's word.
        self._steps: tuple[Callable[[bytes, bytes], bytes], ...] = (
            *(self._insert_token,) * 6,
            *(self._splice,) * 3,
            *(self._drop,) * 3,
            self._replace_by_token,
            self._double,
            self._repeat,
            self._odd_byte,
            self._flip,
            self._other_case,
            self._cut_off,
        )

    def mutate(self, pool: Sequence[bytes]) -> bytes:
        """An input like one of the pool's."""
        random = self._random
        chosen, other = random.choice(pool), random.choice(pool)
        head, body = chosen[: self._choices], chosen[self._choices :]
        if self._choices and random.random() < 0.5:
            head = self._other_choices(head)
        for _ in range(random.randint(1, _MAX_STEPS)):
            body = random.choice(self._steps)(body, other[self._choices :])
        return head.ljust(self._choices, b"\0") + body[: self._max_bytes]

    def _other_choices(self, head: bytes) -> bytes:
        random = self._random
        if random.random() < 0.3:
            return random.randbytes(self._choices)
        changed = bytearray(head.ljust(self._choices, b"\0"))
        changed[random.randrange(len(changed))] = random.randrange(256)
        return bytes(changed)

    def _at(self, body: bytes) -> int:
        return self._random.randint(0, len(body))

    def _span(self, body: bytes) -> tuple[int, int]:
        """A piece of it, most often a short one."""
        start = self._at(body)
        most = self._random.choice((4, 16, 64, 1024, len(body)))
        return start, min(len(body), start + self._random.randint(0, most))

    def _insert_token(self, body: bytes, _: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + self._random.choice(self._tokens) + body[at:]

    def _replace_by_token(self, body: bytes, _: bytes) -> bytes:
        start, end = self._span(body)
        return body[:start] + self._random.choice(self._tokens) + body[end:]

    def _splice(self, body: bytes, other: bytes) -> bytes:
        at = self._at(body)
        start, end = self._span(other)
        return body[:at] + other[start:end] + body[at if self._random.random() < 0.5 else self._at(body) :]

    def _drop(self, body: bytes, _: bytes) -> bytes:
        start, end = self._span(body)
        return body[:start] + body[end:]

    def _double(self, body: bytes, _: bytes) -> bytes:
        start, end = self._span(body)
        return body[:end] + body[start:end] + body[end:]

    def _repeat(self, body: bytes, _: bytes) -> bytes:
        at = self._at(body)
        token = self._random.choice(self._tokens)
        return body[:at] + token * self._random.randint(2, _MOST_REPEATS) + body[at:]

    def _odd_byte(self, body: bytes, _: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + bytes((self._random.choice(_ODD_BYTES),)) + body[at + self._random.randint(0, 1) :]

    def _flip(self, body: bytes, _: bytes) -> bytes:
        if not body:
            return body
        at = self._random.randrange(len(body))
        return body[:at] + bytes((body[at] ^ 1 << self._random.randrange(8),)) + body[at + 1 :]

    def _other_case(self, body: bytes, _: bytes) -> bytes:
        start, end = self._span(body)
        return body[:start] + body[start:end].swapcase() + body[end:]

    def _cut_off(self, body: bytes, _: bytes) -> bytes:
        return body[: self._at(body)]
