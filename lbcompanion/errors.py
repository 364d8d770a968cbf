"""The exception tree: everything that lbcompanion raises on purpose.

Foreign errors are converted once, at the boundary where they come in. No
message of these exceptions holds a cookie value, a whole token or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class CompanionError(Exception):
    """The root of all errors of this project."""


class ConfigError(CompanionError):
    """A configuration that cannot be used.

    :ivar file: the file's path as the user named it, or empty for a value that came from elsewhere.
    :ivar key: the dotted key, such as ``node.listen``; empty where the file as a whole is meant.
    :ivar value: what stood there, as text; secrets are never put here.
    :ivar allowed: what would be right.
    """

    def __init__(self, file: str, key: str, value: str, allowed: str) -> None:
        self.file = file
        self.key = key
        self.value = value
        self.allowed = allowed
        where = f"{file}: {key}" if key else file
        value_text = f" is {value}" if value else ""
        super().__init__(f"{where}{value_text}; allowed: {allowed}")


class ConfigErrors(ConfigError):
    """Several such errors of one file; the text has a line for each, the attributes are those of the first.

    :ivar errors: all of them, in the order of the file's tables.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.file, first.key, first.value, first.allowed)
        self.errors = tuple(errors)
        self.args = ("\n".join(str(error) for error in errors),)


def all_errors(error: ConfigError) -> tuple[ConfigError, ...]:
    """Everything that is wrong, whether it is one thing or several."""
    return error.errors if isinstance(error, ConfigErrors) else (error,)


class InvalidValue(CompanionError):
    """A single value of a configuration that is not allowed. The reader of the file turns it into a
    :class:`ConfigError`.

    :ivar allowed: what would be right.
    :ivar shown_value: what the message says stood there; None: the value itself.
    :ivar subkey: the key within a table with free keys, where the fault is in one of its values.
    """

    def __init__(self, allowed: str, shown_value: str | None = None, subkey: str = "") -> None:
        self.allowed = allowed
        self.shown_value = shown_value
        self.subkey = subkey
        super().__init__(allowed)


class ProtocolError(CompanionError):
    """A peer broke the rules of HTTP; :ivar status: is what it may be told."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        self.why = why
        super().__init__(f"{status}: {why}")


class BadRequest(ProtocolError):
    """A visitor's message that can be read in more than one way, or in none."""


class BadResponse(ProtocolError):
    """The same of the application's answer; the visitor gets 502."""

    def __init__(self, why: str) -> None:
        super().__init__(502, why)


class TokenError(CompanionError):
    """A token that is not one of this farm's: mistyped, forged or of another version."""


class SignatureRefused(CompanionError):
    """A signed message that may not be believed; the text says which rule it broke."""


class StoreError(CompanionError):
    """A store that cannot do what was asked of it now: down, full or broken."""


class StoreUnreachable(StoreError):
    """A store that cannot be reached, or does not answer: nothing can be asked of it now."""


class PageRefused(StoreError):
    """A page that this store can never keep; others it can."""


class PageNotReady(StoreError):
    """A page that another process of this node is still capturing: there will be a copy soon, ask again."""


class CopyError(CompanionError):
    """What a peer handed over is not the copy that it should be."""


class NoticeError(CompanionError):
    """A notice that cannot be read; :ivar status: is 400 or 413."""

    def __init__(self, why: str, status: int = 400) -> None:
        self.status = status
        super().__init__(why)
