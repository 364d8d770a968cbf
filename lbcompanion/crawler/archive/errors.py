"""The errors of the archive."""

from __future__ import annotations

from lbcompanion.errors import CompanionError


class ArchiveError(CompanionError):
    """The archive cannot be read or written."""


class FileOfAnotherCrawler(ArchiveError):
    """The file is in the archive of another crawler; the text names it."""
