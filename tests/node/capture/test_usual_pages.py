"""The usual path gives the same as the machine, for every setting; what it learns does not depend on one visitor."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from fuzz.targets import usual as target
from lbcompanion.http1.codings import encode_whole
from lbcompanion.node.capture.page_policy import PagePolicy
from lbcompanion.node.capture.usual_pages import UsualPages
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable
from tests.support.in_memory_node import (
    PAGE,
    TAG_START,
    ApplicationConnection,
    InMemoryNode,
    ReceivedRequest,
    html,
    read_responses,
    request,
)
from tests.support.usual_node import usual_node, warmed

BROWSER = (b"Accept-Encoding: gzip", b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: navigate")
REQUEST = request(b"/a", *BROWSER)


@pytest.mark.slow
def test_the_usual_path_gives_what_the_machine_gives() -> None:
    """Messages with every field that matters, in all settings of the fuzz target, which has the long, random run."""
    took = 0
    for message in target.one_of_each():
        kind = target.check(message)
        assert isinstance(kind, tuple)
        took += kind[0]
    assert took > 600


def last_statuses(node: InMemoryNode, received: bytes, count: int) -> list[int]:
    return [answer.status for answer in read_responses(received, [b"GET"] * count, eof=False)]


@pytest.mark.parametrize(
    "cookie", [b"Cookie: lbc-visitor=0", b'Cookie: a=b; lbc-visitor="0"; c=d', b"Cookie: lbc-visitor=1; lbc-visitor=0"]
)
def test_a_visitor_who_is_not_recorded_teaches_nothing_and_is_not_recorded(cookie: bytes) -> None:
    node = usual_node(capture=CaptureTable(visitor_cookie="lbc-visitor"))
    visitor = node.connect()
    for asked in (request(b"/a", *BROWSER, cookie), REQUEST, request(b"/a", *BROWSER, cookie), REQUEST):
        visitor.send(asked)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 4, eof=False)
    assert [TAG_START in answer.body for answer in answers] == [False, True, False, True]
    assert node.counters.not_captured == {"visitor is not recorded": 2}
    assert node.counters.usual_responses == 2


def test_a_visitor_who_is_not_recorded_costs_no_learning_at_each_request() -> None:
    node = usual_node(capture=CaptureTable(visitor_cookie="lbc-visitor", consent_cookie="yes"))
    visitor = node.connect()
    for _ in range(3):
        visitor.send(request(b"/a", *BROWSER, b"Cookie: lbc-visitor=0"))
        node.run()
    pages = node.context.new_usual_exchange.args[0]  # type: ignore[union-attr]
    assert len(pages._requests) == 1
    assert not node.captured


def test_path_rules_are_not_asked_for_images_nor_for_long_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    node = usual_node(capture=CaptureTable(exclude=("/private/**",), no_store=("/x/**",)))
    asked: list[bytes] = []
    path_key = node.policy.capture_rules.path_key
    monkeypatch.setattr(node.policy.capture_rules, "path_key", lambda path: asked.append(path) or path_key(path))
    visitor = node.connect()
    image = (b"Accept-Encoding: gzip", b"sec-fetch-dest: image", b"Sec-Fetch-Mode: no-cors")
    for path in (b"/a", b"/a", b"/b.png", b"/" + b"c" * 600):
        visitor.send(request(path, *(image if path == b"/b.png" else BROWSER)))
        node.run()
    assert asked == [b"/a"]
    assert node.counters.captured == 3
    assert node.counters.usual_responses == 2


def test_a_visitor_with_a_recorded_cookie_is_usual() -> None:
    node, _ = warmed(
        request(b"/a", *BROWSER, b"Cookie: lbc-visitor=1"), capture=CaptureTable(visitor_cookie="lbc-visitor")
    )
    assert node.counters.captured == 2


def test_consent_is_asked_of_each_request() -> None:
    node = usual_node(capture=CaptureTable(consent_cookie="consent", consent_values=("yes",)))
    visitor = node.connect()
    given = request(b"/a", *BROWSER, b"Cookie: consent=yes")
    for asked in (given, given, REQUEST, given):
        visitor.send(asked)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 4, eof=False)
    assert [TAG_START in answer.body for answer in answers] == [True, True, False, True]
    assert node.counters.usual_responses == 2


def test_the_peer_is_appended_for_each_visitor() -> None:
    """Behind a balancer the addresses differ, and the kind is the same."""
    node = usual_node(node={"trusted_proxies": (ip_network("192.0.2.0/24"),)})
    visitor = node.connect()
    for number in range(1, 5):
        fields = (b"X-Forwarded-For: 198.51.100.%d" % number, b"X-Forwarded-Proto: https")
        visitor.send(request(b"/a", *BROWSER, *fields))
        node.run()
    seen = [received.get(b"x-forwarded-for") for received in node.application.received_requests]
    assert seen == [b"198.51.100.%d, 192.0.2.7" % number for number in range(1, 5)]
    assert {received.get(b"x-forwarded-proto") for received in node.application.received_requests} == {b"https"}
    assert {page.url for page, _ in node.captured} == {"https://www.example.com/a"}
    assert node.counters.usual_responses == 3
    context = node.context
    pages = context.new_usual_exchange.args[0]  # type: ignore[union-attr]
    assert len(pages._requests) == 1


def test_another_peer_is_another_kind() -> None:
    node = usual_node(node={"trusted_proxies": (ip_network("192.0.2.7/32"),)})
    forwarded = request(b"/a", *BROWSER, b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-Host: a.example")
    for peer in (("192.0.2.7", 1), ("192.0.2.8", 1), ("192.0.2.7", 1), ("192.0.2.8", 1)):
        visitor = node.connect(peer)
        visitor.send(forwarded)
        node.run()
    hosts = [received.get(b"x-forwarded-host") for received in node.application.received_requests]
    assert hosts == [b"a.example", b"www.example.com"] * 2
    assert [page.url for page, _ in node.captured] == ["http://a.example/a", "http://www.example.com/a"] * 2
    assert node.counters.usual_responses == 3


def test_a_coded_page_is_recoded() -> None:
    node = usual_node()
    node.application.answers(html(encode_whole(b"gzip", PAGE), b"Content-Encoding: gzip"))
    visitor = node.connect()
    for _ in range(2):
        visitor.send(REQUEST)
        node.run()
    assert node.counters.usual_responses == 1
    assert [page.body for page, _ in node.captured] == [PAGE, PAGE]


def test_validators_of_a_changed_page_are_marked() -> None:
    node, visitor = warmed(REQUEST)
    node.application.answers(html(PAGE, b'ETag: "x"', b"Accept-Ranges: bytes", b"Content-MD5: y"))
    visitor.send(REQUEST)
    node.run()
    answer = read_responses(visitor.received, [b"GET"] * 3, eof=False)[-1]
    assert node.counters.usual_responses == 2
    assert answer.get(b"etag") == b'W/"x-lbcs"'
    assert answer.get(b"content-md5") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"inject": InjectTable(enabled=False)},
        {"inject": InjectTable(top=b"<script>1</script>")},
        {"inject": InjectTable(skip_if="x")},
        {"inject": InjectTable(top_after="<title>")},
    ],
)
def test_settings_that_need_more_have_no_usual_path(settings: dict[str, object]) -> None:
    node = InMemoryNode(**settings)
    assert node.context.new_usual_exchange is None


def test_an_error_of_the_usual_path_leaves_the_message_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    node, visitor = warmed(REQUEST)

    def fail(*arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(UsualPages, "_page", fail)
    visitor.send(REQUEST)
    node.run()
    monkeypatch.undo()
    monkeypatch.setattr(UsualPages, "_request", fail)
    visitor.send(REQUEST)
    node.run()
    answers = read_responses(visitor.received, [b"GET"] * 4, eof=False)
    assert all(TAG_START in answer.body for answer in answers)
    assert node.counters.failed_open == {"usual path: RuntimeError": 2}
    assert node.counters.captured == 4


def test_kinds_are_bounded() -> None:
    """Each host is a kind, and a visitor chooses it."""
    node = usual_node()
    pages = node.context.new_usual_exchange.args[0]  # type: ignore[union-attr]
    visitor = node.connect()
    for number in range(300):
        visitor.send(request(b"/a", *BROWSER, host=b"h%d.example" % number + b"x" * 200))
        node.run()
    assert pages._requests.total_bytes < 1048576
    assert len(pages._requests) <= 4096
    assert pages._responses.total_bytes < 1048576
    assert node.counters.responses[200] == 300


def test_limits_hold() -> None:
    node = usual_node(limits=LimitsTable(header_lines=6), capture=CaptureTable(max_page_bytes=len(PAGE)))
    visitor = node.connect()
    for asked in (REQUEST, REQUEST, request(b"/a", *BROWSER, *(b"X-%d: y" % number for number in range(4)))):
        visitor.send(asked)
        node.run()
    assert last_statuses(node, visitor.received, 3) == [200, 200, 431]
    node, visitor = warmed(REQUEST, capture=CaptureTable(max_page_bytes=len(PAGE)))
    node.application.answers(html(PAGE + b" "))
    visitor.send(REQUEST)
    node.run()
    assert node.counters.not_captured == {"larger than max_page_bytes": 1}


def test_another_policy_class_is_asked_through_the_same_methods() -> None:
    """The usual path learns from the policy: one that refuses all pages is obeyed."""

    class Refusing(PagePolicy):
        def origin(self, head: object, *, trusted: bool, scheme: str) -> str:
            return ""

    node = usual_node(policy=Refusing)
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    assert node.counters.not_captured == {"no valid host": 3}


@pytest.mark.parametrize(
    ("csp", "is_usual", "has_script"),
    [
        (b"default-src 'self'", True, True),
        (b"frame-ancestors 'none'; upgrade-insecure-requests", True, True),
        (b"script-src http://www.example.com/_lbc/", True, True),
        (b"script-src 'none'", False, False),
        (b"script-src 'nonce-abc'", False, True),
        (b"sandbox", False, False),
        (b"", True, True),
    ],
)
def test_pages_with_a_policy_are_usual_if_it_allows_the_script(csp: bytes, is_usual: bool, has_script: bool) -> None:
    node = usual_node()
    node.application.answers(html(PAGE, b"Content-Security-Policy: " + csp))
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    answers = read_responses(visitor.received, [b"GET"] * 3, eof=False)
    assert [TAG_START in answer.body or b"<script" in answer.body for answer in answers] == [has_script] * 3
    assert [answer.get(b"content-security-policy") for answer in answers] == [csp] * 3
    assert node.counters.usual_responses == 2 * is_usual
    assert len(node.captured) == 3


def test_an_adapted_policy_is_left_to_the_machine() -> None:
    node = usual_node(inject=InjectTable(csp="adapt"))
    node.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'none'"))
    visitor = node.connect()
    for _ in range(3):
        visitor.send(REQUEST)
        node.run()
    assert node.counters.usual_responses == 0
    assert node.counters.injected == 3


def test_an_application_with_another_policy_for_each_page_does_not_fill_the_cache() -> None:
    node = usual_node()
    number = 0

    def answer(connection: ApplicationConnection, received: ReceivedRequest) -> None:
        nonlocal number
        number += 1
        connection.send(html(PAGE, b"Content-Security-Policy: default-src 'self'; report-uri /r?%d" % number))

    node.application.on_request = answer
    visitor = node.connect()
    for _ in range(200):
        visitor.send(REQUEST)
        node.run()
    pages = node.context.new_usual_exchange.args[0]  # type: ignore[union-attr]
    assert len(pages._responses) <= 64
    assert node.counters.injected == 200
