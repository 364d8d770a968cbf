from __future__ import annotations

from twisted.logger import formatEvent, globalLogPublisher

from lbcompanion.crawler.health import Health


def test_each_change_is_logged_once() -> None:
    logged: list[str] = []
    observer = lambda event: logged.append(f"{event['log_level'].name} {formatEvent(event)}")  # noqa: E731
    globalLogPublisher.addObserver(observer)
    try:
        health = Health()
        health.works("the archive")
        for _ in range(3):
            health.failed("the archive", "no space; free some")
        health.failed("the queue", "read-only")
        assert health.lines() == ["the archive: no space; free some", "the queue: read-only"]
        assert health.is_failing("the queue")
        for _ in range(2):
            health.works("the archive")
        assert health.lines() == ["the queue: read-only"]
    finally:
        globalLogPublisher.removeObserver(observer)
    assert logged == [
        "error the archive: no space; free some",
        "error the queue: read-only",
        "info the archive: works again",
    ]
