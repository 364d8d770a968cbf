"""The workers behind a node's process."""

from __future__ import annotations

from tests.support.node_process import NodeProcess
from tests.support.raw_application import RawApplication


def pids(node_process: NodeProcess) -> list[int]:
    return [worker["pid"] for worker in node_process.ask_admin("/status").json["workers"]]


def is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1] != "Z"
    except OSError:
        return False


def upstream(application: RawApplication) -> str:
    return f"tcp:127.0.0.1:{application.server_address[1]}"
