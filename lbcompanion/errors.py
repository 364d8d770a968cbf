"""The exceptions that lbcompanion raises on purpose.

Errors of libraries are converted once, where they enter. No message of
these exceptions contains a cookie value, a whole token or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class CompanionError(Exception):
    """Base class of all errors of this package."""


class ConfigError(CompanionError):
    """A configuration that cannot be used.

    :ivar file: the file's path as the user named it; empty for a value from elsewhere.
    :ivar key: the dotted key, such as ``node.listen``; empty if the error is about the whole file.
    :ivar value: the wrong value as text; never a secret.
    :ivar allowed: which values are allowed.
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
    """Several configuration errors of one file. The text has a line for each; the attributes are those of the first.

    :ivar errors: all of them, in the order of the file's tables.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.file, first.key, first.value, first.allowed)
        self.errors = tuple(errors)
        self.args = ("\n".join(str(error) for error in errors),)


def all_errors(error: ConfigError) -> tuple[ConfigError, ...]:
    """Return the single errors of a ConfigError, which may be a :class:`ConfigErrors`."""
    return error.errors if isinstance(error, ConfigErrors) else (error,)


class InvalidValue(CompanionError):
    """A value of a configuration that is not allowed. The reader of the file turns it into a :class:`ConfigError`.

    :ivar allowed: which values are allowed.
    :ivar shown_value: the text that the message shows for the value; None if it may show the value itself.
    :ivar subkey: the key of the wrong entry, if the value is a table with free keys.
    """

    def __init__(self, allowed: str, shown_value: str | None = None, subkey: str = "") -> None:
        self.allowed = allowed
        self.shown_value = shown_value
        self.subkey = subkey
        super().__init__(allowed)


class ProtocolError(CompanionError):
    """The other end of a connection violated HTTP.

    :ivar status: the status code for the answer.
    :ivar why: the violation.
    """

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        self.why = why
        super().__init__(f"{status}: {why}")


class BadRequest(ProtocolError):
    """A visitor's request is malformed or ambiguous."""


class BadResponse(ProtocolError):
    """The application's response is malformed, ambiguous or over a limit; the visitor gets 502.

    :ivar what: the label under which it is counted.
    """

    def __init__(self, why: str, what: str = "bad answer") -> None:
        super().__init__(502, why)
        self.what = what


class TokenError(CompanionError):
    """A token that this farm did not mint: mistyped, forged or of another version."""


class SignatureRefused(CompanionError):
    """A signature that is not accepted; the text says which rule it violates."""


class StoreError(CompanionError):
    """A store cannot execute a request now: it is down, full or broken."""


class StoreUnreachable(StoreError):
    """A store cannot be reached, or does not answer."""


class StoreUnwritable(StoreUnreachable):
    """The store can be reached, but not written: its disk is full or read-only."""


class PageRefused(StoreError):
    """A store can never store this page, but can store others."""


class PageNotReady(StoreError):
    """Another process of this node is still capturing the page, or does not respond; a later fetch may get the copy."""


class CopyError(CompanionError):
    """A peer sent something that is not the expected copy."""


class ConfirmationError(CompanionError):
    """A confirmation of several copies, or its answer, is malformed."""


class NoticeError(CompanionError):
    """A notice is malformed.

    :ivar status: the status code for the answer, 400 or 413.
    """

    def __init__(self, why: str, status: int = 400) -> None:
        self.status = status
        super().__init__(why)
