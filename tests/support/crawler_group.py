"""Several crawler processes on one queue, what may happen to them, and the sum of what they did."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import signal
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, database_clock, open_engine
from lbcompanion.crawler.queue.schema import AUDIT, FILE_ERASURES, FILES, METADATA, RECORDINGS
from lbcompanion.model import Notice
from lbcompanion.protocol.headers import AUTHORITY
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens, digest_of
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym
from tests.support.children import Child, Children, wait_for
from tests.support.object_stores import BUCKET, S3Server, objects
from tests.support.queue_crawler import NODES, STYLE, body_of
from tests.support.relay import Relay
from tests.support.simulated_farm import ORIGIN, SECRET
from tests.support.store_servers import Server

STORE_URL = f"s3://{BUCKET}/prefix"
CRAWLER_FAULTS = ("kill", "stop", "silence", "cut", "full disk", "clock")
STORE_FAULTS = ("store refuses", "store takes half", "store silent", "store cut", "kill in an upload")
#: A notice that a crawler postponed while its clock was up to 600 s ahead may wait for as long: it may be a pause.
ERASURES = ("erase by token", "erase by visitor", "erase by url")
CLOCK_JUMPS = (-86400.0, -600.0, -30.0, -2.0, 2.0, 30.0, 1200.0, 1800.0)
LEASE_SECONDS = 2.0
PER_NODE = 6


class CrawlerGroup:
    """Crawlers of one queue.

    :param seed: for what happens, and in which order.
    :param store: an object store, to which the crawlers upload their archive files.
    """

    def __init__(self, server: Server, folder: Path, seed: int = 0, store: S3Server | None = None) -> None:
        self.server = server
        self.store = store
        self.store_relay = None if store is None else Relay(store.port)
        if self.store_relay is not None:
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self.store_relay.port}"
        self.folder = folder
        self.random = random.Random(seed)
        self.children = Children(folder)
        self.crawlers: dict[str, Child] = {}
        self.relays: dict[str, Relay] = {}
        self.accepted: set[str] = set()
        #: Tokens whose erasure was asked for, and the criteria. A request that failed may have been carried out.
        self.erased: set[str] = set()
        self._criteria: list[dict[str, list[str]]] = []
        #: By the value of a visitor cookie, the tokens of that visitor's pages.
        self._visitors: dict[str, list[str]] = {}
        #: How long a crawler is stopped, or cut off.
        self.pauses = [0.3, 1.6 * LEASE_SECONDS]
        self.most_of_a_node = 0
        self.last_status = 0
        self.happened: Counter[str] = Counter()
        self._deck: list[str] = []
        self._killed: deque[str] = deque()
        self._mints = {name: Tokens(SECRET, name, os.urandom) for name in NODES}
        self._signer = Signer(SECRET)
        self._wakes: list[tuple[float, Callable[[], object]]] = []
        self.database = Database(open_engine(server.url))
        self.backlog = Backlog(self.database)

    def start(self, name: str, folder: str = "", **more: Any) -> Child:
        """Start a crawler; its connections to the server go through a relay of its own."""
        relay = self.relays[name] = Relay(self.server.port)
        (self.folder / (folder or name)).mkdir(exist_ok=True)
        settings = {
            "name": name,
            "queue": self.server.url.replace(f":{self.server.port}/", f":{relay.port}/"),
            "lease_seconds": LEASE_SECONDS,
            "per_node": PER_NODE,
            "concurrency": 8,
            **more,
        }
        if self.store is not None:
            settings |= {"archive": STORE_URL, "rotate_seconds": 1.0, "upload_seconds": 0.5, "requisites": True}
        arguments = str(self.folder / (folder or name)), json.dumps(settings)
        child = self.children.module(folder or name, "tests.support.queue_crawler", *arguments)
        self.crawlers[folder or name] = child
        return child

    def ports(self, name: str) -> list[int]:
        """Wait until a crawler has started; the ports of its intake and of its admin listener."""
        file = self.folder / name / "ports"

        def read() -> list[int] | None:
            return json.loads(file.read_text()) if file.exists() else None

        return wait_for(f"crawler {name}", read, 60, self.crawlers[name])

    def notices(self, count: int) -> list[Notice]:
        """Notices of new pages, of all nodes in turn; every fourth one is of a visitor who views no other pages."""
        made = [self._mints[NODES[each % len(NODES)]].mint() for each in range(count)]
        visitor = f"visitor{len(self._visitors)}"
        self._visitors[visitor] = made[::4]
        pseudonym = visitor_pseudonym(visitor_key(SECRET), visitor)
        return [
            Notice(token, f"{ORIGIN}/{token}", {}, time.time(), time.time(), visitor="" if each % 4 else pseudonym)
            for each, token in enumerate(made)
        ]

    def deliver(self, notices: Sequence[Notice], names: Sequence[str] = ()) -> str:
        """Deliver notices to one of the crawlers, in any order; return its name, or an empty text if all failed."""
        for name in names or self.random.sample(sorted(self.crawlers), len(self.crawlers)):
            file = self.folder / name / "ports"
            self.last_status = self._post(json.loads(file.read_text())[0], notices) if file.exists() else 0
            if self.last_status == 202:
                self.accepted.update(notice.token for notice in notices)
                return name
        return ""

    def _post(self, port: int, notices: Sequence[Notice]) -> int:
        url, body = f"http://127.0.0.1:{port}/notices", write_notices(list(notices))
        request = urllib.request.Request(url, body, method="POST")
        for name, value in self._signer.sign("POST", url, os.urandom(16).hex(), time.time(), body):
            request.add_header(name if isinstance(name, str) else name.decode(), value)
        request.add_header(AUTHORITY.text, urlsplit(url).netloc)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=1.0) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0

    def claims(self) -> int:
        """The number of claimed notices."""
        with self.database.read() as connection:
            query = select(RECORDINGS.c.token).where(RECORDINGS.c.claimed_by.is_not(None))
            return len(connection.execute(query).all())

    def problems(self, name: str) -> str:
        """The problems that a crawler reports; empty if there are none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports(name)[1]}/healthz", timeout=5) as answer:
                return "" if answer.read().strip() == b"ok" else "not ok"
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def look(self) -> None:
        """Note how many notices of one node are worked on."""
        with self.database.read() as connection:
            now = database_clock(connection)
            query = select(RECORDINGS.c.origin_node).where(RECORDINGS.c.lease_until > now)
            busy = Counter(connection.execute(query).scalars())
        self.most_of_a_node = max(self.most_of_a_node, *busy.values(), 0)

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        self._wakes.append((time.monotonic() + seconds, call))

    def pass_time(self, seconds: float) -> None:
        """Wait, and do meanwhile what is due."""
        until = time.monotonic() + seconds
        while True:
            due = [each for each in self._wakes if each[0] <= time.monotonic()]
            self._wakes = [each for each in self._wakes if each not in due]
            for _, call in due:
                call()
            while self._killed:
                self._start_again(self._killed.popleft())
            if time.monotonic() >= until:
                return
            time.sleep(0.02)

    def something_happens(self) -> None:
        """Let a fault happen, to one crawler or to the object store, for longer or shorter than a lease.

        All faults happen before one happens again.
        """
        if not self._deck:
            faults = CRAWLER_FAULTS + (STORE_FAULTS if self.store is not None else ())
            self._deck = self.random.sample(faults, len(faults))
        what = self._deck.pop()
        name = self.random.choice(sorted(self.crawlers))
        seconds = self.random.choice(self.pauses)
        self.happened[what] += 1
        if what in STORE_FAULTS:
            self._disturb_store(what, seconds)
        else:
            self._disturb_crawler(what, name, seconds)

    def erase_something(self) -> None:
        """Ask a crawler to erase pages by one of the criteria, all in turn, in whatever state their notices are."""
        what = ERASURES[len(self._criteria) % len(ERASURES)]
        left = self.accepted - self.erased
        tokens = self.random.sample(sorted(left), min(len(left), self.random.choice([1, 1, 4])))
        criteria = {"token": tokens}
        if what == "erase by url":
            criteria = {"url": [f"{ORIGIN}/{token}{self.random.choice(['', '*', '#part'])}" for token in tokens]}
        elif what == "erase by visitor":
            whole = [visitor for visitor, its in self._visitors.items() if left.issuperset(its)]
            visitors = self.random.sample(whole, min(len(whole), 1))
            tokens = [token for visitor in visitors for token in self._visitors[visitor]]
            criteria = {"visitor": visitors}
        if tokens:
            self.happened[what] += 1
            self.erased.update(tokens)
            self._criteria.append(criteria)
            self.erase(self.random.choice(sorted(self.crawlers)), criteria)

    def erase(self, name: str, criteria: Mapping[str, list[str]], seconds: float = 1.0) -> dict[str, Any]:
        """Erase at a crawler; return the result, empty if none came in time."""
        file = self.folder / name / "ports"
        if not file.exists():
            return {}
        url = f"http://127.0.0.1:{json.loads(file.read_text())[1]}/api/erase"
        request = urllib.request.Request(url, json.dumps(criteria).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except (OSError, HTTPException):
            return {}

    def end_erasures(self) -> None:
        """Repeat all erasures, and wait until no crawler has records of erased pages left."""
        every: dict[str, list[str]] = {"token": sorted(self.erased)}
        for criteria in (*self._criteria, every):
            wait_for("an erasure", lambda criteria=criteria: self._erased_by_one(criteria) or None, 90)
        for name in self.crawlers if self.erased else ():
            wait_for(f"the erasure at {name}", lambda name=name: self._has_erased(name, every) or None, 90)

    def _erased_by_one(self, criteria: Mapping[str, list[str]]) -> bool:
        return any(self.erase(name, criteria, 30.0) for name in sorted(self.crawlers))

    def _has_erased(self, name: str, every: Mapping[str, list[str]]) -> bool:
        """Whether nothing waits: each crawler removes the records of its own files."""
        result = self.erase(name, every, 30.0)
        return bool(result) and not any(result[key] for key in ("waiting", "files_waiting", "files_unsearched"))

    def check_erased(self, contents: Mapping[str, bytes]) -> None:
        """No erased page is in the archive, in an index of it, or in the database.

        The audit log names tokens, and the addresses of an erasure are kept for a while, because a file of such an
        address may be fetched at that moment.

        :param contents: the archive's files.
        """
        kept: dict[str, bytes] = {name: gzip.decompress(content) for name, content in contents.items()}
        for path in self.folder.glob("*/archive/**/*"):
            if path.is_file():
                kept[str(path)] = whole_members(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for name, content in (objects(self.store) if self.store is not None else {}).items():
            kept[name] = whole_members(content) if name.endswith(".gz") else content
        with self.database.read() as connection:
            for table in METADATA.sorted_tables:
                kept[table.name] = repr(connection.execute(select(table)).all()).encode()
        visitors = [value for criteria in self._criteria for value in criteria.get("visitor", ())]
        pseudonyms = [visitor_pseudonym(visitor_key(SECRET), value) for value in visitors]
        for name, content in kept.items():
            words = [*visitors, *pseudonyms, *(self.erased if name not in {AUDIT.name, FILE_ERASURES.name} else ())]
            found = [word for word in words if word.encode() in content]
            assert not found, (name, found)

    def _disturb_crawler(self, what: str, name: str, seconds: float) -> None:
        child, relay = self.crawlers[name], self.relays[name]
        if what == "kill":
            child.kill()
            self._start_again(name)
        elif what == "stop":
            child.send(signal.SIGSTOP)
            self.later(seconds, lambda: child.send(signal.SIGCONT))
        elif what == "silence":
            relay.silence()
            self.later(seconds, relay.speak)
        elif what == "full disk":
            limit_files(child, self.random.randrange(1, 40_000))
            self.later(seconds, lambda: limit_files(child, resource.RLIM_INFINITY))
        elif what == "clock":
            self._set_clock(name, self.random.choice(CLOCK_JUMPS))
            self.later(seconds, lambda: self._set_clock(name, 0.0))
        else:
            relay.cut()

    def _disturb_store(self, what: str, seconds: float) -> None:
        store, relay = self.store, self.store_relay
        assert store is not None
        assert relay is not None
        if what == "store refuses":
            store.failing = 1_000_000
            self.later(seconds, lambda: setattr(store, "failing", 0))
        elif what == "store takes half":
            store.cutting = 3
        elif what == "store silent":
            relay.silence()
            self.later(seconds, relay.speak)
        elif what == "store cut":
            store.on_put = lambda _path: self._once(relay.cut)
        else:
            store.on_put = lambda path: self._once(self._kill_uploading, path)

    def _once(self, call: Callable[..., object], *arguments: str) -> None:
        """Disturb one upload only; on the store's thread."""
        assert self.store is not None
        self.store.on_put = lambda _path: None
        call(*arguments)

    def _kill_uploading(self, path: str) -> None:
        name = next((each for each in self.crawlers if f"/lbc-{each}-" in path), "")
        if name:
            self.crawlers[name].kill()
            self._killed.append(name)

    def _start_again(self, name: str) -> None:
        """Start a crawler that was killed, after a while."""
        child = self.crawlers[name]
        child.ended()
        (self.folder / name / "ports").unlink(missing_ok=True)
        self.later(self.random.random(), lambda: child.died() and child.start())

    def _set_clock(self, name: str, seconds: float) -> None:
        file = self.folder / name / "clock"
        file.with_suffix(".new").write_text(str(seconds))
        file.with_suffix(".new").replace(file)

    def restart_server(self) -> None:
        """The server goes away, and comes back."""
        self.happened["server"] += 1
        loses_commits = getattr(self.server, "flush", 1) == 0
        self.server.stop(signal.SIGTERM if loses_commits else signal.SIGKILL)
        time.sleep(0.5)
        self.server.start()

    def freeze_server(self) -> None:
        """The server says nothing for a while, and keeps its connections."""
        self.happened["freeze"] += 1
        self.server.freeze(signal.SIGSTOP)
        self.pass_time(1.0)
        self.server.freeze(signal.SIGCONT)

    def calm(self) -> None:
        """Let all run again, and wait until no crawler reports a problem."""
        while self._wakes or self._killed:
            self.pass_time(0.1)
        if self.store is not None:
            self.store.failing = self.store.cutting = 0
            self.store.on_put = lambda _path: None
        for name, child in self.crawlers.items():
            child.send(signal.SIGCONT)
            wait_for(f"crawler {name}", lambda name=name: self._runs(name) or None, 90)
        for name, child in self.crawlers.items():
            wait_for(f"health of {name}", lambda name=name: not self.problems(name) or None, 90, child)

    def _runs(self, name: str) -> bool:
        """Whether a crawler has started. One that started while the database was away has ended: it starts again."""
        child, ports = self.crawlers[name], self.folder / name / "ports"
        if child.died():
            ports.unlink(missing_ok=True)
            child.start()
        return ports.exists()

    def wait_for_the_end(self, seconds: float = 90.0) -> None:
        """Until each notice has its outcome."""
        wait_for("the outcomes", lambda: self.counts()["open"] == 0 or None, seconds, *self.crawlers.values())

    def counts(self) -> dict[str, int]:
        return self.backlog.counts()

    def stop(self) -> None:
        """End all crawlers in good order."""
        for child in self.crawlers.values():
            child.send(signal.SIGCONT)
            child.send(signal.SIGTERM)
        for child in self.crawlers.values():
            child.ended()

    def uploaded(self) -> int:
        """The number of files that the object store has."""
        with self.database.read() as connection:
            return len(connection.execute(select(FILES.c.name).where(FILES.c.state == "uploaded")).all())

    def _content(self, file: Any, stored: Mapping[str, bytes]) -> bytes:
        if file.state == "uploaded":
            content = stored[f"prefix/{file.name}"]
            assert len(content) == file.committed, file
            return content
        content = (self.folder / file.crawler / "archive" / file.name).read_bytes()
        assert len(content) >= file.committed, file
        return content[: file.committed]

    def add_up(self) -> dict[str, bytes]:
        """Each notice has one outcome; each page is archived once, where the queue says it is.

        :returns: the archive's files.
        """
        rows = {row["token"]: row for row in self.backlog.recordings(1_000_000)}
        missing = self.accepted - self.erased - set(rows)
        assert not missing, f"{len(missing)} accepted notices are not in the queue"
        assert not self.erased & set(rows)
        assert Counter(row["outcome"] for row in rows.values()) == {"archived": len(rows)}
        with self.database.read() as connection:
            files = connection.execute(select(FILES)).all()
        stored = objects(self.store) if self.store is not None else {}
        contents = {file.name: self._content(file, stored) for file in files if file.committed}
        known = {f"prefix/{file.name}" for file in files}
        assert {name for name in stored if name.endswith(".gz")} <= known
        firsts: set[tuple[str, ...]] = set()
        revisits: set[tuple[str, ...]] = set()
        written: Counter[str] = Counter()
        offsets: set[tuple[str, int]] = set()
        for name, content in contents.items():
            stream = ArchiveIterator(io.BytesIO(content), check_digests="raise")
            for record in stream:
                body, get = record.content_stream().read(), record.rec_headers.get_header
                place = name, stream.get_record_offset()
                if record.rec_type == "revisit":
                    refers = "WARC-Refers-To-Target-URI", "WARC-Refers-To-Date", "WARC-Payload-Digest"
                    revisits.add(tuple(map(get, refers)))
                if record.rec_type != "response":
                    continue
                firsts.add(tuple(map(get, ("WARC-Target-URI", "WARC-Date", "WARC-Payload-Digest"))))
                token = get("WARC-Target-URI").rpartition("/")[2]
                if token == "style.css":
                    assert body == STYLE
                    continue
                written[token] += 1
                row = rows[token]
                assert (row["warc_file"], row["warc_offset"]) == place, dict(row)
                assert body == body_of(token)
                assert row["sha256"] == digest_of(body).hex()
                offsets.add(place)
        assert set(written) == set(rows)
        assert set(written.values()) <= {1}, written.most_common(5)
        assert len(offsets) == len(rows)
        assert revisits <= firsts
        self.check_erased(contents)
        return contents

    def check_rows(self) -> int:
        """Each notice has one outcome, and each page is readable where the queue says it is.

        After the server has lost commits, there may be more records, and fewer notices.

        :returns: how many notices there are.
        """
        rows = self.backlog.recordings(1_000_000)
        stored = objects(self.store) if self.store is not None else {}
        assert Counter(row["outcome"] for row in rows) == {"archived": len(rows)}
        for row in rows:
            with self.database.read() as connection:
                file = connection.execute(select(FILES).where(FILES.c.name == row["warc_file"])).one()
            content = self._content(file, stored)[row["warc_offset"] :]
            record = next(iter(ArchiveIterator(io.BytesIO(content), check_digests="raise")))
            assert record.content_stream().read() == body_of(row["token"])
        return len(rows)

    def close(self) -> None:
        """End everything."""
        self.children.kill()
        for relay in (*self.relays.values(), *filter(None, [self.store_relay])):
            relay.close()
        self.database.close()


def limit_files(child: Child, size: int) -> None:
    """Let a process write no file beyond this size, as if the disk were full; it may be ended meanwhile."""
    with suppress(ProcessLookupError):
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def whole_members(content: bytes) -> bytes:
    """Decompress a file of gzip members, up to the first damage: a crash may have cut off the last one."""
    found = []
    while content:
        member = zlib.decompressobj(wbits=31)
        try:
            found.append(member.decompress(content))
        except zlib.error:
            break
        content = member.unused_data
    return b"".join(found)
