"""The crawler's current problems, for ``/healthz`` and the log.

The log gets one line when something begins to fail, and one when it works again.

Each part that writes has a topic of its own, so that the success of one never hides the failure of another.
"""

from __future__ import annotations

from twisted.logger import Logger


class Health:
    """The current problems. Any thread may report."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._log = Logger(namespace="lbcompanion.crawler.health")

    def failed(self, topic: str, why: str) -> None:
        """Report that something does not work; only a change of the topic's state is logged.

        :param topic: what does not work, such as ``the archive``.
        :param why: what is wrong, and what would be right.
        """
        known = topic in self._problems
        self._problems[topic] = why
        if not known:
            self._log.error("{topic}: {why}", topic=topic, why=why)

    def works(self, topic: str) -> None:
        """Report that something works."""
        if self._problems.pop(topic, None) is not None:
            self._log.info("{topic}: works again", topic=topic)

    def is_failing(self, topic: str) -> bool:
        """Whether the last report on a topic was a failure."""
        return topic in self._problems

    def lines(self) -> list[str]:
        """Return one line for each problem."""
        return [f"{topic}: {why}" for topic, why in sorted(self._problems.items())]
