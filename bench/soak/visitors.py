"""The visitors of the soak as a process of their own: ``python -m bench.soak.visitors PLAN``, in JSON.

Each line that it prints is JSON: ``done`` as it goes, at the end ``over`` with counts by kind, or ``wrong``.
"""

from __future__ import annotations

import json
import sys

from bench.responses import WrongResponse
from bench.soak import event_loop
from bench.soak.visits import Visitor, VisitPlan


def main() -> int:
    """Run the plan: ``port``, ``secret``, ``first``, ``last`` (not included), ``visitors``, ``every``."""
    how = json.loads(sys.argv[1])

    def on_progress(done: int) -> None:
        if done % how["every"] == 0:
            print(json.dumps({"done": done}), flush=True)

    plan = VisitPlan(how["port"], how["secret"].encode(), how["first"], how["last"], on_progress)
    try:
        event_loop.run([Visitor(plan).run() for _ in range(how["visitors"])])
    except WrongResponse as error:
        print(json.dumps({"wrong": str(error)}), flush=True)
        return 1
    print(json.dumps({"over": dict(plan.done), "notices": plan.notices}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
