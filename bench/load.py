"""The visitors as a process of their own, so that their memory and pauses are not the bench's.

``python -m bench.load`` reads one JSON object a line and answers each by another; it ends with its standard input.
:class:`Load` is the other end.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.responses import WrongResponse
from bench.visitors import Visitors
from lbcompanion.errors import CompanionError

_ROOT = Path(__file__).resolve().parents[1]
_LOAD_SECONDS = 60.0
_LISTEN_SECONDS = 0.05


class WrongAnswer(CompanionError):
    """A response was not the expected one."""


class Load:
    """The process of the visitors."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def put(
        self, port: int, case: str, tagged: bool, requests: int, connections: int, sample: int = 0
    ) -> dict[str, Any]:
        """See :meth:`bench.visitors.Visitors.load`.

        :raises WrongAnswer: where an answer is.
        """
        return self._do(
            "load",
            port=port,
            case=case,
            tagged=tagged,
            requests=requests,
            connections=connections,
            seconds=_LOAD_SECONDS,
            sample=sample,
        )

    def hold(self, port: int, case: str, tagged: bool, connections: int) -> int:
        """See :meth:`bench.visitors.Visitors.hold`.

        :raises WrongAnswer: where an answer is.
        """
        return int(self._do("hold", port=port, case=case, tagged=tagged, connections=connections)["open"])

    def release(self) -> int:
        """See :meth:`bench.visitors.Visitors.release`."""
        return int(self._do("release")["closed"])

    def waits(self, port: int, direct: int, case: str, tagged: bool, requests: int) -> dict[str, float]:
        """See :meth:`bench.visitors.Visitors.waits`.

        :raises WrongAnswer: where an answer is.
        """
        return self._do("waits", port=port, direct=direct, case=case, tagged=tagged, requests=requests)

    def sip(self, port: int, case: str, readers: int, seconds: float, meanwhile: Callable[[], None]) -> dict[str, Any]:
        """See :meth:`bench.visitors.Visitors.sip`.

        :param meanwhile: called again and again until it is over.
        :raises WrongAnswer: where an answer is.
        """
        return self._do("sip", meanwhile, port=port, case=case, readers=readers, seconds=seconds)

    def _do(self, what: str, meanwhile: Callable[[], None] = lambda: None, **how: Any) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": what, **how}) + "\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], _LISTEN_SECONDS)[0]:
            meanwhile()
        line = process.stdout.readline()
        if not line:
            raise WrongAnswer("the load ended unasked")
        result: dict[str, Any] = json.loads(line)
        if "wrong" in result:
            raise WrongAnswer(f"a wrong answer: {result['wrong']}")
        return result


def main() -> None:
    """Run the commands read from standard input."""
    visitors = Visitors()
    for line in sys.stdin:
        how = json.loads(line)
        do: Callable[..., dict[str, Any]] = getattr(visitors, how.pop("do"))
        try:
            result = do(**how)
        except (WrongResponse, OSError) as error:
            result = {"wrong": str(error) or type(error).__name__}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
