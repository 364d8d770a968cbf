"""A random walk through a real balancer and the model of it, side by side."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter, deque
from collections.abc import Callable

from attrs import define, field, frozen

from lbcompanion.testing.balancer_models import BalancerModel, CookieInsertion, NodeStates, StickTable, TwoTiers, pairs

#: What the application sets is the session's own, or nothing that sticks.
_SESSION = "made-up-{}"


@frozen
class WalkResponse:
    """A real answer.

    :ivar node: empty where the balancer itself refused.
    :ivar cookies_seen: the cookies that the node saw.
    :ivar set_cookies: the lines' values.
    """

    status: int
    node: str
    cookies_seen: str
    set_cookies: tuple[str, ...]


def ask(port: int, cookie: str = "", sets: str = "") -> WalkResponse:
    """One request over a connection of its own."""
    lines = ["GET /page HTTP/1.1", "Host: www.example.com", "Connection: close"]
    lines += [f"Cookie: {cookie}"] if cookie else []
    lines += [f"X-Sets: {sets}"] if sets else []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        raw = b""
        while got := line.recv(65536):
            raw += got
    head, _, body = raw.decode("latin-1").partition("\r\n\r\n")
    status, *fields = head.split("\r\n")
    given = tuple(one.partition(":")[2].strip() for one in fields if one.lower().startswith("set-cookie:"))
    code = int(status.split(" ")[1])
    if code != 200:
        return WalkResponse(code, "", "", given)
    payload = json.loads(body[body.index("{") : body.rindex("}") + 1])
    return WalkResponse(code, payload["node"], "; ".join(payload["cookies"]), given)


def _same(_name: str, _state: str) -> None:
    raise AssertionError("this balancer's nodes cannot be turned")


@define
class RandomWalk:
    """One balancer, its model, and what the visitors have been given so far.

    :ivar name: the sticky cookie's.
    :ivar turn: tells the real balancer what it shall take a node for: ``ready``, ``drain``, ``maint``.
    :ivar turned: the nodes that may be turned.
    :ivar sets: whether the application sets the sticky cookie now and then.
    """

    port: int
    model: BalancerModel
    name: str
    nodes: tuple[str, ...]
    rng: random.Random
    turn: Callable[[str, str], None] = _same
    turned: tuple[str, ...] = ()
    sets: bool = False
    states: dict[str, str] = field(init=False)
    values: list[str] = field(factory=list)
    others: list[tuple[str, str]] = field(factory=list)
    made: int = 0
    counted: Counter[str] = field(factory=Counter)
    recent: deque[str] = field(factory=lambda: deque(maxlen=12))

    def __attrs_post_init__(self) -> None:
        self.states = dict.fromkeys(self.nodes, "ready")

    def node_states(self) -> NodeStates:
        """The nodes' states in the model."""
        by = {state: [node for node in self.nodes if self.states[node] == state] for state in ("ready", "drain")}
        return NodeStates(tuple(by["ready"]), frozenset(by["drain"]))

    def steps(self, count: int) -> None:
        """Walk."""
        for _ in range(count):
            if self.turned and self.rng.random() < 0.12:
                self._turn()
            else:
                self._request()

    def _turn(self) -> None:
        node = self.rng.choice(self.turned)
        state = self.rng.choice(("ready", "ready", "drain", "maint"))
        self.turn(node, state)
        self.states[node] = state
        self.counted[f"turned to {state}"] += 1
        self.recent.append(f"{node} {state}")

    def _known(self) -> str:
        return self.rng.choice(self.values) if self.values else "none-yet"

    def _cookies(self) -> tuple[str, list[tuple[str, str]]]:
        """A kind of request, and its cookies."""
        name, known, another = self.name, self._known(), self._known()
        kinds: dict[str, list[tuple[str, str]]] = {
            "none": [],
            "right": [(name, known)],
            "right again": [(name, known)],
            "among others": [("a", "1"), (name, known), ("b", '{"c":1}')],
            "foreign": [("theirs", known), (f"x{name}", another)],
            "unknown": [(name, f"n{self.rng.randrange(4, 99)}")],
            "empty": [(name, "")],
            "quoted": [(name, f'"{known}"')],
            "two": [(name, known), (name, another)],
            "unknown, then right": [(name, "n77"), (name, known)],
            "empty, then right": [(name, ""), (name, known)],
            "other case": [(name.swapcase(), known)],
            "shortened": [(name, known[: len(known) // 2])],
            "lengthened": [(name, f"{known}x")],
            "dotted": [(name, f"x{known}"), ("last", "2")],
            "after another": [*self.others[-1:], (name, known)],
        }
        if isinstance(self.model, StickTable):
            del kinds["empty"]
        kind = self.rng.choice(list(kinds))
        further = [pair for pair in self.others if pair[0] != name]
        if isinstance(self.model, TwoTiers) and further and self.rng.random() < 0.8:
            return kind, [self.rng.choice(further), *kinds[kind]]
        return kind, kinds[kind]

    def _request(self) -> None:
        kind, cookies = self._cookies()
        header = "; ".join(f"{name}={value}" for name, value in cookies)
        if cookies and self.rng.random() < 0.1:
            header = f"novalue; {header}"
        sets = ""
        if self.sets and self.rng.random() < 0.3:
            self.made += 1
            sets = f"{self.name}={_SESSION.format(self.made)}"
        self.recent.append(f"{kind}: {header} / {sets}")
        node_states = self.node_states()
        predicted = self.model.predict(cookies, node_states)
        real = ask(self.port, header, sets)
        self.recent[-1] += f" -> {real}"
        self.counted[f"{kind}, {'by_cookie' if predicted.by_cookie else 'free' if predicted.nodes else 'refused'}"] += 1
        if not predicted.nodes:
            assert real.status == 503, self._describe(predicted)
            return
        assert real.status == 200, self._describe(predicted)
        assert real.node in predicted.nodes, self._describe(predicted)
        choice = self.model.record(cookies, node_states, real.node)
        given = self.model.cookies_for_visitor(real.node, pairs(sets))
        expected = [*(f"{name}={value}" for name, value in given), *choice.set_cookies]
        assert sorted(real.set_cookies) == sorted(expected), self._describe(expected)
        assert pairs(real.cookies_seen) == list(self.model.cookies_for_node(cookies)), self._describe(
            self.model.cookies_for_node(cookies)
        )
        self._remember(real.set_cookies)

    def _remember(self, set_cookies: tuple[str, ...]) -> None:
        for name, value in (pair for line in set_cookies for pair in pairs(line.partition(";")[0])):
            if name == self.name and value not in self.values:
                self.values = [*self.values[-8:], value]
            elif name != self.name and (name, value) not in self.others:
                self.others.append((name, value))

    def _describe(self, expected: object) -> str:
        steps = "\n".join(self.recent)
        return f"the model says {expected}, nodes are {self.states}, after these steps:\n{steps}"


def moved_off(walk: RandomWalk, node: str) -> bool:
    """Whether the real balancer has noticed that a node is gone: its value leads, and at once, elsewhere."""
    assert isinstance(walk.model, CookieInsertion)
    real = ask(walk.port, f"{walk.name}={walk.model.cookie(node)}")
    return real.node not in ("", node)
