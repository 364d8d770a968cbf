"""The crawler's current problems, for ``/healthz`` and the log."""

from __future__ import annotations

from twisted.logger import Logger

from lbcompanion.failing_parts import FailingParts


class Health(FailingParts[str]):
    """The crawler's failing parts. A part is named by what does not work, such as ``the archive cannot be written``."""

    def __init__(self) -> None:
        super().__init__()
        self._log = Logger(namespace="lbcompanion.crawler.health")

    def lines(self) -> list[str]:
        """Return one line for each problem."""
        return [f"{part}: {why}" for part, why in sorted(self._reasons.items())]

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by part."""
        return dict(self._reasons)

    def _log_failure(self, part: str, why: str) -> None:
        self._log.error("{part}: {why}", part=part, why=why)

    def _log_recovery(self, part: str) -> None:
        self._log.info("{part}: works again", part=part)
