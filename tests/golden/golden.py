"""Golden files: what a test gathers is compared, whole, with a file of ``tests/golden/expected``.

    LBC_GOLDEN=write python -m pytest tests/golden      # write the files again; then read the diff, and commit it

A test gathers two texts. One holds structure and values: it never changes while behaviour stays. The other, in
``expected/wording``, holds the words that people read (details of errors, help, comments, log lines): wording may be
changed on purpose. A text for people that stands within a structure is shown there as ``{words}``, and what follows
from its bytes (length, digest, proof) is checked and shown as ``{right}``.

Nothing in this module imports the product.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path
from types import TracebackType

EXPECTED = Path(__file__).parent / "expected"
#: Keys of JSON whose values are words for people.
_WORDS = frozenset({"detail", "title", "says", "rule", "note", "page", "why", "wrong", "learnt"})
_DATE = re.compile(rb"(?mi)^(date: )[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r$")
_SERVER = re.compile(rb"(?mi)^(server: )TwistedWeb/[0-9.a-z]+\r$")
#: Where a record stands in a file depends on how well those before it were packed.
_OFFSET = re.compile(rb'("offset": )[0-9]+')
_COMMENT = re.compile(r"(^|\s+)#(\s.*)?$")


def shown(data: bytes) -> str:
    """Bytes as text that shows each of them, a line of text for each line of the bytes."""
    lines = data.split(b"\n")
    text = "\n".join(_line(line + b"\n") for line in lines[:-1])
    return f"{text}\n{_line(lines[-1])}".strip("\n") if lines[:-1] else _line(lines[-1])


def _line(line: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else _escaped(byte) for byte in line)


def _escaped(byte: int) -> str:
    return {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}.get(byte, f"\\x{byte:02x}")


def without_moments(data: bytes) -> bytes:
    """An HTTP message without the time, and without what differs by the version of Twisted or Python."""
    data = data.replace(b"HTTP/1.1 413 Content Too Large\r\n", b"HTTP/1.1 413 Request Entity Too Large\r\n")
    return _SERVER.sub(rb"\1{Twisted}" + b"\r", _DATE.sub(rb"\1{now}" + b"\r", data))


def proof(secret: bytes, *parts: str) -> str:
    """A proof by the contract's formula, made without the product."""
    return urlsafe_b64encode(hmac.digest(secret, "\n".join(["lbc-proof-1", *parts]).encode(), hashlib.sha256)).decode()


def words_of(value: object, keys: frozenset[str], key: str = "") -> Iterable[str]:
    """The words for people within parsed JSON, in order.

    :param keys: whose values are words.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from words_of(inner, keys, name)
    elif isinstance(value, list):
        for inner in value:
            yield from words_of(inner, keys, key)
    elif isinstance(value, str) and _is_words(key, value, keys):
        yield value


def _is_words(key: str, value: str, keys: frozenset[str]) -> bool:
    if key == "why":
        return " " in value  # else it is a reason by name
    return bool(value) and (key in keys or (key == "reason" and "(" in value))


def apart(body: str, keys: frozenset[str] = _WORDS) -> tuple[str, list[str]]:
    """The text of a JSON body with ``{words}`` for its words, each value's other bytes left as they are; the words."""
    words = list(words_of(json.loads(body), keys))
    at = 0
    for each in words:
        written = next(one for one in (json.dumps(each), json.dumps(each, ensure_ascii=False)) if one in body[at:])
        told = re.compile(rf'("(?:{"|".join([*keys, "reason"])})": |[\[,]\s*){re.escape(written)}')
        found = told.search(body, at)
        assert found, each
        body = f'{body[: found.start()]}{found[1]}"{{words}}"{body[found.end() :]}'
        at = found.end(1)
    return body, words


class Golden:
    """Gathers, as a context manager; compares at the end.

    :param name: of the files: ``NAME.txt`` and ``wording/NAME.txt``.
    :param secret: makes the proofs.
    :param hidden: text to what is shown in its place.
    """

    def __init__(self, name: str, secret: bytes = b"", hidden: dict[str, str] | None = None) -> None:
        self._hidden = hidden or {}
        self._name = name
        self._secret = secret
        self._values: list[str] = []
        self._words: list[str] = []

    def __enter__(self) -> Golden:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None:
            differences = [
                compare(f"{self._name}.txt", "\n".join(self._values)),
                compare(f"wording/{self._name}.txt", "\n".join(self._words)),
            ]
            assert not any(differences), "\n" + "\n".join(differences)

    def values(self, title: str, text: str) -> None:
        """Structure and values."""
        self._values.append(f"=== {title}\n{self._without_hidden(text)}\n")

    def words(self, title: str, text: str) -> None:
        """Words for people."""
        self._words.append(f"=== {title}\n{self._without_hidden(text)}\n")

    def _without_hidden(self, text: str) -> str:
        for one, instead in self._hidden.items():
            text = text.replace(one, instead)
        return text

    def message(self, title: str, data: bytes, *proven: str) -> None:
        """An HTTP message, as it stood on the wire.

        :param proven: node, token and nonce of its proof, where the proof covers words.
        """
        data = without_moments(data)
        interim = b""
        while re.match(rb"HTTP/1\.[01] 1(?!01)", data):
            first, _, data = data.partition(b"\r\n\r\n")
            interim += first + b"\r\n\r\n"
        head, end, body = data.partition(b"\r\n\r\n")
        if body and _is_error_text(head):
            self.words(title, shown(body))
            head, body = self._rightly(head, body, proven), b"{words}"
        elif body and re.search(rb"(?mi)^content-type: application/(problem\+)?json", head):
            text, words = apart(body.decode())
            plain = _OFFSET.sub(rb"\1{offset}", text.encode())
            if plain != body:
                head, body = self._rightly(head, body, proven), plain
            if words:
                self.words(title, "\n".join(words))
        self.values(title, _in_lines(shown(interim + head + end + body)))

    def json(self, title: str, text: str, *more_words: str) -> None:
        """JSON.

        :param more_words: further keys whose values are words.
        """
        body, words = apart(text, _WORDS.union(more_words))
        self.values(title, _in_lines(body.rstrip("\n")))
        if words:
            self.words(title, "\n".join(words))

    def commented(self, title: str, text: str) -> None:
        """A file for people: its comments are words, all else is values."""
        lines = [(line, _COMMENT.search(line)) for line in text.splitlines()]
        values = [line[: found.start()] if found else line for line, found in lines]
        self.values(
            title, "\n".join(value for value, (line, _) in zip(values, lines, strict=True) if value or not line)
        )
        self.words(title, "\n".join(found[0].strip() for _, found in lines if found))

    def _rightly(self, head: bytes, body: bytes, proven: tuple[str, ...]) -> bytes:
        digest = f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
        right = [f"Content-Length: {len(body)}", f"content-length: {len(body)}", f"Repr-Digest: {digest}"]
        if proven:
            right.append(f"Lbc-Proof: {proof(self._secret, *proven, digest)}")
        lines = head.decode("latin-1").split("\r\n")
        for number, line in enumerate(lines):
            name = line.partition(":")[0]
            if name.lower() in {"content-length", "repr-digest", "lbc-proof"}:
                assert line in right, (line, right)
                lines[number] = f"{name}: {{right}}"
        return "\r\n".join(lines).encode("latin-1")


def _in_lines(text: str) -> str:
    """A long line of JSON in several, for the sake of whoever reads a difference."""
    return text.replace("}, {", "},\n {")


def _is_error_text(head: bytes) -> bool:
    return bool(re.match(rb"HTTP/1\.[01] [45]", head) and re.search(rb"(?mi)^content-type: text/plain", head))


def compare(name: str, text: str) -> str:
    """The difference to the file, empty where there is none; or write the file."""
    path = EXPECTED / name
    if os.environ.get("LBC_GOLDEN") == "write":
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        else:
            path.unlink(missing_ok=True)
        return ""
    expected = path.read_bytes().decode() if path.exists() else ""
    if expected == text:
        return ""
    return "\n".join(
        unified_diff(expected.splitlines(), text.splitlines(), f"expected/{name}", "what came", lineterm="", n=2)
    )


def head_without_length(answer: bytes) -> bytes:
    """The head of an answer whose body is Twisted's."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"Content-Length"))


def metrics(golden: Golden, raw: bytes) -> None:
    """Names and values apart from the words that describe them."""
    head, _, body = without_moments(raw).partition(b"\r\n\r\n")
    lines = body.decode().splitlines()
    golden.values("head of the metrics", shown(head_without_length(head + b"\r\n\r\n")))
    values = (line.partition(" ")[0] + " {time}" if "_created" in line.partition(" ")[0] else line for line in lines)
    golden.values("metrics", "\n".join(line for line in values if not line.startswith("# HELP")))
    golden.words("metrics", "\n".join(line for line in lines if line.startswith("# HELP")))
