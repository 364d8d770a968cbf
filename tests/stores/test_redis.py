from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
import redis
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbcompanion.errors import StoreError, StoreUnreachable, StoreUnwritable
from lbcompanion.model import Miss, MissReason
from lbcompanion.settings import StoreTable
from lbcompanion.stores.redis import PAGE_MARGIN_SECONDS, TOMBSTONE_SECONDS
from lbcompanion.stores.registry import open_store
from lbcompanion.testing.stores import ManualWallClock, make_page, page_store_contract
from tests.support.open_store import at_once, result_of
from tests.support.served_stores import open_at, run_machine_at, served_by
from tests.support.store_servers import PASSWORD, Redis, of_its_own, running

pytestmark = pytest.mark.programs

TestRedisStore = page_store_contract("TestRedisStore", served_by(Redis))


def test_any_order_of_calls() -> None:
    run_machine_at(Redis, 15)


@pytest.fixture(name="client")
def _client() -> Iterator[Any]:
    server = running(Redis)
    assert isinstance(server, Redis)
    with closing(server.client()) as client:
        yield client


def opened(**settings: Any) -> Any:
    return open_at(running(Redis), StoreTable(**settings), ManualWallClock())


def test_redis_lets_go_by_itself_of_what_no_node_took_away(client: Any) -> None:
    store = opened(max_seconds=90)
    result_of(store.put(make_page("a")))
    assert (90 + PAGE_MARGIN_SECONDS - 5) * 1000 < client.pttl("lbc:page:a") <= (90 + PAGE_MARGIN_SECONDS) * 1000
    result_of(store.sent("a"))
    result_of(store.drop("b"))
    result_of(store.mark("c", Miss(MissReason.EXPIRED)))
    keys = {key.decode() for key in client.keys("*")}
    assert keys == {"lbc:page:a", "lbc:kept", "lbc:sent", "lbc:sizes", "lbc:bytes", "lbc:gone", "lbc:why", "lbc:seq"}
    for key in keys - {"lbc:page:a", "lbc:sent"}:
        assert client.pttl(key) > TOMBSTONE_SECONDS * 1000
    result_of(store.put(make_page("b")))
    assert client.pttl("lbc:sent") > TOMBSTONE_SECONDS * 1000
    result_of(store.close())


def test_a_copy_of_an_earlier_version_has_no_head(client: Any) -> None:
    store = opened()
    result_of(store.put(evolve(make_page("a"), head=b"HTTP/1.1 200 OK\r\n\r\n")))
    client.hdel("lbc:page:a", "head")
    assert result_of(store.take("a")) == make_page("a")
    result_of(store.close())


def test_what_redis_had_no_memory_for_is_reported_as_evicted(client: Any) -> None:
    store = opened()
    for token in "abc":
        result_of(store.put(make_page(token)))
    client.delete("lbc:page:b", "lbc:page:c")
    assert result_of(store.take("b")) == Miss(MissReason.EVICTED)
    assert result_of(store.drop("c")) is False
    told = result_of(store.stats())
    assert (told["pages"], told["bytes"], told["evicted"]) == (1, len(make_page("a").body), 2)
    result_of(store.close())


@pytest.mark.parametrize("lost", ["lbc:sizes", "lbc:bytes", "lbc:kept", "lbc:sent", "lbc:gone", "lbc:why", "lbc:seq"])
def test_it_goes_on_whatever_key_is_lost(client: Any, lost: str) -> None:
    store = opened(max_pages=3)
    for token in "abcd":
        result_of(store.put(make_page(token)))
    result_of(store.sent("b"))
    client.delete(lost)
    for number in range(8):
        result_of(store.put(make_page(f"t{number}")))
        result_of(store.sweep())
    assert len(result_of(store.tokens())) <= 3
    assert result_of(store.peek("t7")) == make_page("t7")
    result_of(store.close())


def test_scripts_that_were_flushed_come_back(client: Any) -> None:
    store = opened()
    result_of(store.put(make_page("a")))
    client.script_flush()
    assert result_of(store.peek("a")) == make_page("a")
    result_of(store.close())


def test_a_full_redis_refuses_and_goes_on(client: Any) -> None:
    store = opened()
    result_of(store.put(make_page("a")))
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match=r"refuses: .*memory") as caught:
            result_of(store.put(make_page("b")))
        assert not isinstance(caught.value, StoreUnreachable)
        assert result_of(store.peek("a")) == make_page("a")
    finally:
        client.config_set("maxmemory", 0)
    result_of(store.put(make_page("b")))
    result_of(store.close())


def test_a_replica_is_there_and_cannot_be_written(client: Any) -> None:
    store = opened()
    store.backend.backoff_seconds = 0
    result_of(store.put(make_page("a")))
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(StoreUnwritable):
            result_of(store.put(make_page("b")))
        assert result_of(store.sweep()) == 0
        assert result_of(store.url_of("a")) == make_page("a").url
    finally:
        client.replicaof("NO", "ONE")
    result_of(store.put(make_page("b")))
    result_of(store.close())


class TlsRedis(Redis):
    """One that is spoken to by TLS only, and by those who have a certificate of its own maker."""

    def prepare(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        self.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        for file in (self.certificate, self.key):
            file.chmod(0o644)

    def more(self) -> Sequence[str]:
        return [
            *("--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(self.certificate)),
            *("--tls-key-file", str(self.key), "--tls-ca-cert-file", str(self.certificate)),
        ]

    def client(self) -> Any:
        return redis.Redis(
            port=self.port, db=1, password=PASSWORD, ssl=True, ssl_cert_reqs=ssl.CERT_NONE, ssl_check_hostname=False,
            ssl_certfile=str(self.certificate), ssl_keyfile=str(self.key)
        )  # fmt: skip

    @property
    def url(self) -> str:
        return super().url.replace("redis://", "rediss://", 1)


def test_by_tls() -> None:
    with of_its_own(TlsRedis) as server:
        assert isinstance(server, TlsRedis)
        files = f"ssl_ca_certs={server.certificate}&ssl_certfile={server.certificate}&ssl_keyfile={server.key}"
        store: Any = open_store(StoreTable(url=f"{server.url}?{files}"), ManualWallClock(), at_once)
        page = evolve(make_page("a"), body=bytes(100_000))
        result_of(store.put(page))
        assert result_of(store.take("a")) == page
        result_of(store.close())
        # A certificate of an unknown authority.
        stranger: Any = open_store(StoreTable(url=server.url), ManualWallClock(), at_once)
        with pytest.raises(StoreUnreachable, match=r"(?i)certificate"):
            result_of(stranger.sweep())
        result_of(stranger.close())
