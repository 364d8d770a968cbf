"""The access token that a crawler writes for commands on the same machine.

Each start of a crawler writes a new token into its ``state_dir``. Only the crawler's user can read that folder. This
user can change the queue anyway.
"""

from __future__ import annotations

import os
from pathlib import Path

from lbcompanion.crawler.access.passwords import new_token, token_hash

_NAME = "admin.token"
_MAX_BYTES = 200


def write_command_token(state_dir: Path) -> str:
    """Write a new token, and return its hash; empty if it cannot be written. Then commands need a user's token."""
    token, new = new_token(), state_dir / f".{_NAME}.new"
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(token)
        new.replace(state_dir / _NAME)
    except OSError:
        return ""
    return token_hash(token)


def read_command_token(state_dir: Path) -> str:
    """Return the token of the crawler that runs; empty if it cannot be read."""
    try:
        with (state_dir / _NAME).open() as file:
            return file.read(_MAX_BYTES).strip()
    except (OSError, UnicodeDecodeError):
        return ""
