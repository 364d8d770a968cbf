from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import fields
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbcompanion import settings
from lbcompanion.config import read_any, read_crawler, read_node
from lbcompanion.errors import ConfigError, ConfigErrors

SECRET = "0123456789abcdef-secret"


NODE = """\
[node]
name = "n1"
listen = ["tcp:8080"]
upstream = "tcp:127.0.0.1:8000"
secret_file = "farm.secret"
"""
CRAWLER = """\
[crawler]
secret_file = "farm.secret"
[sites.main]
origin = "https://www.example.com"
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "farm.secret").write_text(f"\n {SECRET}\n")
    (tmp_path / "short.secret").write_text("  short          \n")
    (tmp_path / "empty.secret").write_text("\n")
    (tmp_path / "top.html").write_bytes(b"<script>{token}</script>")
    for name, key in (("ed.pem", Ed25519PrivateKey.generate()), ("ec.pem", generate_private_key(SECP256R1()))):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / name).write_bytes(pem)
    (tmp_path / "seal.key").write_bytes(os.urandom(32))
    return tmp_path


def write(folder: Path, text: str) -> str:
    path = folder / "it.toml"
    path.write_text(text)
    return str(path)


def wrong(folder: Path, text: str) -> ConfigError:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_any(path)
    assert caught.value.file == path
    assert str(caught.value).startswith(path)
    assert SECRET not in str(caught.value)
    return caught.value


def test_the_smallest_node_has_the_defaults(folder: Path) -> None:
    read = read_node(write(folder, NODE))
    assert read.node.name == "n1"
    assert read.node.listen == ("tcp:8080",)
    assert read.node.secret == SECRET.encode()
    assert read.node.state_dir == folder / "state"
    assert read.node.secret_file == folder / "farm.secret"
    assert read.node.trusted_proxies == fields(settings.NodeTable).trusted_proxies.default
    assert read.capture == settings.CaptureTable()
    assert read.inject == settings.InjectTable()
    assert read.store == settings.StoreTable()
    assert read.sticky == settings.StickyTable()
    assert read.fetch == settings.FetchTable()
    assert read.crawler == settings.NodeCrawlerTable()
    assert read.limits == settings.LimitsTable()
    assert read.peers == {}


def test_the_smallest_crawler_has_the_defaults(folder: Path) -> None:
    read = read_crawler(write(folder, CRAWLER))
    assert read.crawler.secret == SECRET.encode()
    assert read.crawler.state_dir == folder / "state"
    assert read.crawler.archive_dir == folder / "archive"
    assert read.crawler.queue == f"sqlite:///{folder}/crawler.db"
    assert read.crawler.concurrency == 32
    assert read.sites["main"] == settings.SiteSettings("main", "https://www.example.com")


def test_a_secret_is_never_shown(folder: Path) -> None:
    assert SECRET not in repr(read_node(write(folder, NODE)))
    assert SECRET not in repr(read_crawler(write(folder, CRAWLER)))


def test_relative_paths_start_at_the_files_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "it").mkdir()
    (folder / "it" / "node.toml").write_text(
        NODE.replace('"farm.secret"', '"../farm.secret"\nstate_dir = "there"') + '[store]\nurl = "sqlite:///pages.db"\n'
    )
    monkeypatch.chdir(folder)
    read = read_node("it/node.toml")
    assert read.node.state_dir == folder / "it" / "there"
    assert read.store.url == f"sqlite:///{folder}/it/pages.db"


def test_an_absolute_sqlite_file_stays(folder: Path) -> None:
    text = NODE + '[store]\nurl = "sqlite:////var/lib/pages.db"\n'
    assert read_node(write(folder, text)).store.url == "sqlite:////var/lib/pages.db"


def test_what_is_written_arrives(folder: Path) -> None:
    text = NODE + "\n".join(
        (
            'trusted_proxies = ["10.0.0.0/8", "2001:db8::1"]',
            'direct_origin = "http://[2001:db8::1]:8080"',
            "[capture]\nratio = 1\nstatuses = [200, 404]\nmethods = ['GET']",
            '[inject]\ntop_file = "top.html"\nskip_if = "<!-- none -->"',
            '[store]\nencryption_key_file = "seal.key"\nmax_seconds = 2.5',
            "[sticky]\ncookies = ['SRV', '/JSESSION[0-9]+/']",
            '[fetch]\nsignature = "off"\naddresses = ["127.0.0.1"]\n[fetch.public_keys]\nother = "ed.pem"',
            '[peers]\nn2 = "http://10.0.0.2:8080"',
            '[crawler]\nintake = ""\nnotices = "both"',
            "[limits]\nidle_seconds = 5",
        )
    )
    read = read_node(write(folder, text))
    assert read.node.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"))
    assert read.capture.ratio == 1.0
    assert read.capture.statuses == (200, 404)
    assert read.inject.top == b"<script>{token}</script>"
    assert read.inject.bottom is None
    assert read.store.encryption_key_file == folder / "seal.key"
    assert read.sticky.cookies == ("SRV", "/JSESSION[0-9]+/")
    assert read.fetch.public_keys["other"].startswith(b"-----BEGIN PUBLIC KEY")
    assert read.peers == {"n2": "http://10.0.0.2:8080"}
    assert read.crawler == settings.NodeCrawlerTable("", "both")
    assert read.limits.idle_seconds == 5.0


def test_a_whole_site_arrives(folder: Path) -> None:
    more = """\
connect = "tcp:10.0.0.5:80"
cookies = ["SRV"]
ladder = ["own", "direct"]
[sites.main.nodes.n1]
direct = "http://10.0.0.1:8080"
cookie = "SRV=n1"
[sites.main.nodes.n2]
"""
    site = read_crawler(write(folder, CRAWLER + more)).sites["main"]
    assert site.connect == "tcp:10.0.0.5:80"
    assert site.sticky.cookies == ("SRV",)
    assert site.ladder == ("own", "direct")
    assert site.nodes == {"n1": settings.KnownNode("http://10.0.0.1:8080", "SRV=n1"), "n2": settings.KnownNode()}


def test_names_of_admin_listeners(folder: Path) -> None:
    names = 'admin_hosts = ["N1.Internal.", "crawler"]\n'
    assert read_node(write(folder, NODE + names)).node.admin_hosts == ("n1.internal", "crawler")
    told = CRAWLER.replace("[crawler]\n", f"[crawler]\n{names}")
    assert read_crawler(write(folder, told)).crawler.admin_hosts == ("n1.internal", "crawler")
    for bad in ("", ".", "a..b", "a:80", "http://a", "u@a", "*.a", "a b", "\u00e4", "a" * 255, "[::1]"):
        assert wrong(folder, f'{NODE}admin_hosts = ["{bad}"]\n').key == "node.admin_hosts"


def test_what_cookies_are_made_of(folder: Path) -> None:
    more = """
dialect = "caddy"
key = "S3cr3t"
[sites.main.nodes.n1]
address = "10.0.0.11:8080"
"""
    site = read_crawler(write(folder, CRAWLER + more)).sites["main"]
    assert (site.key, site.nodes["n1"].address) == ("S3cr3t", "10.0.0.11:8080")
    assert "S3cr3t" not in repr(site)
    error = wrong(folder, CRAWLER + "key = 'S3\\u0007'".replace("'", '"'))
    assert error.key == "sites.main.key"
    assert "S3" not in str(error)
    assert wrong(folder, CRAWLER + more.replace("11:8080", "11 8080")).key == "sites.main.nodes.n1.address"


def test_a_dialect_is_described(folder: Path) -> None:
    described = "dialect = 'generic'\ncookies = ['where']\npart = 'after .'\nreplay_safe = true\n"
    expected = settings.StickyTable("generic", ("where",), (), "after .", True)
    assert read_node(write(folder, f"{NODE}\n[sticky]\n{described}")).sticky == expected
    assert read_crawler(write(folder, f"{CRAWLER}\n{described}")).sites["main"].sticky == expected


def test_the_kind_is_reported(folder: Path) -> None:
    assert isinstance(read_any(write(folder, NODE)), settings.NodeSettings)
    assert isinstance(read_any(write(folder, CRAWLER)), settings.CrawlerSettings)
    assert "[node]" in wrong(folder, "").allowed


# (what is put into the smallest file, or replaces it; the key named; a piece of the value named; a piece of what is
# allowed)
WRONG_NODES = [
    ('name = "n1"', "", "node.name", "missing", "32"),
    ('"n1"', '"n 1"', "node.name", '"n 1"', "letters"),
    ('"n1"', '"n1\\n"', "node.name", "n1", "letters"),
    ('"n1"', '""', "node.name", '""', "letters"),
    ('"n1"', '"' + 33 * "n" + '"', "node.name", "nnn", "32"),
    ('"n1"', "1", "node.name", "1", "letters"),
    ('["tcp:8080"]', '"tcp:8080"', "node.listen", '"tcp:8080"', "a list"),
    ('["tcp:8080"]', "[]", "node.listen", "[]", "one or more"),
    ('["tcp:8080"]', '["tcp:80801"]', "node.listen", "tcp:80801", "tcp:8080"),
    ('["tcp:8080"]', '["8080"]', "node.listen", '"8080"', "endpoint string"),
    ('["tcp:8080"]', '["tcp:8080", "tcp:8080"]', "node.listen", "tcp:8080", "once"),
    ('["tcp:8080"]', '["tcp:8080:interfaces=::1"]', "node.listen", "interfaces", "endpoint string"),
    ('["tcp:8080"]', '["udp:8080"]', "node.listen", "udp", "tcp:, "),
    ("tcp:127.0.0.1:8000", "http://127.0.0.1:8000", "node.upstream", "http:", "tcp:127.0.0.1:8000"),
    ("tcp:127.0.0.1:8000", "tcp:127.0.0.1", "node.upstream", "tcp:127.0.0.1", "tcp:127.0.0.1:8000"),
    ("tcp:127.0.0.1:8000", "tcp:127.0.0.1:0", "node.upstream", ":0", "tcp:127.0.0.1:8000"),
    ("farm.secret", "none.secret", "node.secret_file", "none.secret", "16 bytes"),
    ("farm.secret", "empty.secret", "node.secret_file", "0 bytes", "16 bytes"),
    ("farm.secret", "short.secret", "node.secret_file", "5 bytes", "16 bytes"),
    (
        'secret_file = "farm.secret"',
        'secret_file = "farm.secret"\naccept_secret_files = ["farm.secret", "short.secret"]',
        "node.accept_secret_files[1]",
        "5 bytes",
        "16 bytes",
    ),
    (
        'secret_file = "farm.secret"',
        'secret_file = "farm.secret"\naccept_secret_files = "farm.secret"',
        "node.accept_secret_files",
        '"farm.secret"',
        "a list of files",
    ),
    ("farm.secret", ".", "node.secret_file", "directory", "16 bytes"),
    ("[node]", "[node]\nworkers = 0", "node.workers", "0", "a whole number from 1 to 64"),
    ("[node]", "[node]\nworkers = true", "node.workers", "true", "a whole number from 1 to 64"),
    ("[node]", "[node]\nworkers = 1.0", "node.workers", "1.0", "a whole number from 1 to 64"),
    ("[node]", '[node]\nprefix = "_lbc"', "node.prefix", '"_lbc"', "/_lbc"),
    ("[node]", '[node]\nprefix = "/_lbc/"', "node.prefix", '"/_lbc/"', "/_lbc"),
    ("[node]", '[node]\nprefix = "/a/../b"', "node.prefix", "..", "/_lbc"),
    ("[node]", '[node]\npublic_origin = "www.example.com"', "node.public_origin", "www", "an origin"),
    ("[node]", '[node]\npublic_origin = "https://h/path"', "node.public_origin", "path", "without a path"),
    ("[node]", '[node]\npublic_origin = "https://h/"', "node.public_origin", "h/", "without a path"),
    ("[node]", '[node]\ndirect_origin = "ftp://h"', "node.direct_origin", "ftp", "an origin"),
    ("[node]", '[node]\ndirect_origin = "http://h:99999"', "node.direct_origin", "99999", "an origin"),
    ("[node]", '[node]\ndirect_origin = "http://u:hush@h"', "node.direct_origin", "//...@h", "an origin"),
    ("[node]", '[node]\ntrusted_proxies = ["10.0.0.1/8"]', "node.trusted_proxies", "10.0.0.1/8", "CIDR"),
    ("[node]", '[node]\ntrusted_proxies = "10.0.0.0/8"', "node.trusted_proxies", "10.0.0.0/8", "a list"),
    ("[node]", '[node]\nlisten_on = "x"', "node.listen_on", "no known key", "did you mean listen?"),
    ("[node]", "[capture]\nratoi = 1\n[node]", "capture.ratoi", "no known key", "did you mean ratio?"),
    ("[node]", "[captures]\n[node]", "captures", "no known key", "did you mean capture?"),
    ("[node]", "capture = 1\n[node]", "capture", "1", "a table"),
    ("[node]", "[capture]\nratio = 1.5\n[node]", "capture.ratio", "1.5", "from 0 to 1"),
    ("[node]", "[capture]\nratio = nan\n[node]", "capture.ratio", "NaN", "from 0 to 1"),
    ("[node]", "[capture]\nratio = true\n[node]", "capture.ratio", "true", "a number"),
    ("[node]", "[capture]\nenabled = 1\n[node]", "capture.enabled", "1", "true or false"),
    ("[node]", "[capture]\nmethods = ['get']\n[node]", "capture.methods", "get", "capitals"),
    ("[node]", "[capture]\nstatuses = [99]\n[node]", "capture.statuses", "99", "200"),
    ("[node]", "[capture]\nfragments = 'always'\n[node]", "capture.fragments", "always", '"on-request", "never"'),
    ("[node]", "[capture]\nvisitor_cookie = 'a b'\n[node]", "capture.visitor_cookie", "a b", "cookie"),
    ("[node]", "[capture]\nidentify = 'yes'\n[node]", "capture.identify", "yes", "true or false"),
    ("[node]", "[capture]\nconsent_cookie = 'a=b'\n[node]", "capture.consent_cookie", "a=b", "the name of a cookie"),
    (
        "[node]",
        "[capture]\nconsent_values = ['yes']\n[node]",
        "capture.consent_values",
        "set",
        "capture.consent_cookie",
    ),
    (
        "[node]",
        "[capture]\nconsent_cookie = 'a'\nconsent_values = ['b;c']\n[node]",
        "capture.consent_values",
        "b;c",
        "a cookie's value",
    ),
    ("[node]", "[capture]\nrespect_gpc = '1'\n[node]", "capture.respect_gpc", "1", "true or false"),
    ("[node]", "[capture]\nrespect_dnt = 1\n[node]", "capture.respect_dnt", "1", "true or false"),
    ("[node]", "[capture]\nmax_page_bytes = -1\n[node]", "capture.max_page_bytes", "-1", "1 or more"),
    ("[node]", "[capture]\ninclude = ['shop/*']\n[node]", "capture.include", "shop/*", 'begin with "/"'),
    ("[node]", "[capture]\nexclude = ['/a', '//b']\n[node]", "capture.exclude", "//b", '"//"'),
    ("[node]", "[capture]\nmask = ['input[']\n[node]", "capture.mask", "input[", "CSS selectors"),
    ("[node]", "[limits]\nheader_lines = 10.0\n[node]", "limits.header_lines", "10.0", "a whole number"),
    ("[node]", "[inject]\ntop_file = 'none'\n[node]", "inject.top_file", "none", "can be read"),
    ("[node]", "[inject]\nskip_if = '('\n[node]", "inject.skip_if", "(", "a regular expression"),
    ("[node]", "[inject]\ncsp = 'drop'\n[node]", "inject.csp", "drop", '"respect"'),
    ("[node]", "[store]\nurl = 'mongodb://u:hush@h/'\n[node]", "store.url", "//...@h", "sqlite:///FILE"),
    ("[node]", "[store]\nurl = 'sqlite://'\n[node]", "store.url", "sqlite://", "sqlite:///FILE"),
    ("[node]", "[store]\nurl = 'sqlite:///:memory:'\n[node]", "store.url", ":memory:", "sqlite:///FILE"),
    ("[node]", "[store]\nencryption_key_file = 'short.secret'\n[node]", "store.encryption_key_file", "5", "16 bytes"),
    ("[node]", "[store]\nmax_pages = 0\n[node]", "store.max_pages", "0", "1 or more"),
    ("[node]", "[store]\nmax_seconds = inf\n[node]", "store.max_seconds", "Infinity", "above 0"),
    ("[node]", "[store]\nmax_seconds = 0\n[node]", "store.max_seconds", "0", "above 0"),
    ("[node]", "[sticky]\ndialect = 'haproxi'\n[node]", "sticky.dialect", "haproxi", '"auto"'),
    ("[node]", "[sticky]\ncookies = ['/(/']\n[node]", "sticky.cookies", "/(/", "pattern"),
    ("[node]", "[sticky]\ncookies = ['a=b']\n[node]", "sticky.cookies", "a=b", "cookie names"),
    ("[node]", "[sticky]\ndialect = 'haproxy'\n[node]", "sticky.dialect", "haproxy", "explain --list"),
    ("[node]", "[sticky]\ndialect = 'trafik'\n[node]", "sticky.dialect", "trafik", 'did you mean "traefik"?'),
    ("[node]", "[sticky]\ndialect = 'generic'\n[node]", "sticky.cookies", "empty", "one or more"),
    ("[node]", "[sticky]\npart = 'before ~'\n[node]", "sticky.part", "before ~", 'dialect is "generic"'),
    ("[node]", "[sticky]\nreplay_safe = true\n[node]", "sticky.replay_safe", "true", 'dialect is "generic"'),
    ("[node]", "[sticky]\npart = 'between'\n[node]", "sticky.part", "between", '"before X"'),
    ("[node]", "[sticky]\npart = '/(/'\n[node]", "sticky.part", "/(/", "unterminated"),
    ("[node]", "[sticky]\npart = 1\n[node]", "sticky.part", "1", '"whole"'),
    ("[node]", "[fetch]\nsignature = 'off'\n[node]", "fetch.signature", "off", "fetch.addresses"),
    ("[node]", "[fetch]\naddress_header = 'X Y'\n[node]", "fetch.address_header", "X Y", "header"),
    ("[node]", "[fetch.public_keys]\nk = 'ec.pem'\n[node]", "fetch.public_keys.k", "ec.pem", "Ed25519"),
    ("[node]", "[fetch.public_keys]\nfarm = 'ed.pem'\n[node]", "fetch.public_keys", "farm", "other than"),
    ("[node]", "[peers]\n'n 2' = 'http://h'\n[node]", "peers", "n 2", "node names"),
    ("[node]", "[peers]\nn2 = 'h:8080'\n[node]", "peers.n2", "h:8080", "an origin"),
    ("[node]", "[peers]\nn1 = 'http://h:8080'\n[node]", "peers.n1", "itself", "other nodes"),
    ("[node]", "[crawler]\nnotices = 'none'\n[node]", "crawler.notices", "none", '"browser", "server", "both"'),
    ("[node]", "[crawler]\nintake = 'tcp:h:1'\n[node]", "crawler.intake", "tcp", "an origin"),
    ("[node]", "[crawler]\nintake = []\n[node]", "crawler.intake", "[]", "a list of origins"),
    ("[node]", "[crawler]\nintake = ['http://h:1', '']\n[node]", "crawler.intake", "", "an origin"),
    ("[node]", "[crawler]\nintake = ['http://h:1', 'http://h:1']\n[node]", "crawler.intake", "h:1", "each once"),
    ("[node]", "[limits]\nhead_seconds = 0\n[node]", "limits.head_seconds", "0", "above 0"),
    ("[node]", "[limits]\nconnections = 0\n[node]", "limits.connections", "0", "1 or more"),
    ("[node]", "[limits]\nspool_bytes = 1\n[node]", "limits.spool_bytes", "1", "65536 or more"),
]


@pytest.mark.parametrize(("old", "new", "key", "value", "right"), WRONG_NODES)
def test_a_wrong_node_is_refused(folder: Path, old: str, new: str, key: str, value: str, right: str) -> None:
    error = wrong(folder, NODE.replace(old, new, 1))
    assert error.key == key
    assert value in error.value
    assert right in error.allowed
    assert "hush" not in str(error)


WRONG_CRAWLERS = [
    ('[sites.main]\norigin = "https://www.example.com"', "[sites]", "sites", "missing", "[sites.NAME]"),
    ("origin", "#", "sites.main.origin", "missing", "an origin"),
    ("[sites.main]", "[sites.'a.b']", "sites.a.b", "no such name", "letters"),
    ("[crawler]", "[crawler]\nqueue = 'memory:'", "crawler.queue", "memory:", "sqlite:///FILE"),
    ("[crawler]", "[crawler]\nname = 'a b'", "crawler.name", "a b", "1 to 64 letters"),
    ("[crawler]", "[crawler]\nqueue = 'redis://h/1'", "crawler.queue", "redis://h/1", "postgresql://"),
    ("[crawler]", "[crawler]\nqueue = 'postgres://h/d'", "crawler.queue", "postgres://h/d", "postgresql://"),
    ("[crawler]", "[crawler]\nqueue = 'postgresql://h'", "crawler.queue", "postgresql://h", "DATABASE"),
    ("[crawler]", "[crawler]\nqueue = 'postgresql://u:hush@h'", "crawler.queue", "postgresql://...@h", "DATABASE"),
    ("[crawler]", "[crawler]\nper_node = -1", "crawler.per_node", "-1", "from 0"),
    ("[crawler]", "[crawler]\nlease_seconds = 0", "crawler.lease_seconds", "0", "from 1"),
    ("[crawler]", "[crawler]\ngather_seconds = 2", "crawler.gather_seconds", "2", "to 1"),
    ("[crawler]", "[crawler]\ngone_seconds = -1", "crawler.gone_seconds", "-1", "0"),
    ("[crawler]", "[crawler]\ngather_pages = 0", "crawler.gather_pages", "0", "1"),
    ("[crawler]", "[crawler]\ngather_bytes = 0", "crawler.gather_bytes", "0", "1"),
    ("[crawler]", "[fetch]\nidle_connections = -1\n[crawler]", "fetch.idle_connections", "-1", "0"),
    ("[crawler]", "[fetch]\nidle_seconds = 0\n[crawler]", "fetch.idle_seconds", "0", "0.1"),
    ("[crawler]", "[crawler]\nconcurrency = 0", "crawler.concurrency", "0", "from 1"),
    ("[crawler]", "[crawler]\nlisten = ['tcp:1']", "crawler.listen", "tcp:1", "endpoint string"),
    ("[crawler]", "[crawler]\nintake = 'http://h'", "crawler.intake", "no known key", "listen"),
    ("[crawler]", "[nodes]\n[crawler]", "nodes", "no known key", "crawler, sites"),
    ("[sites.main]", "[sites.main]\nladder = []", "sites.main.ladder", "[]", "recorded, own"),
    ("[sites.main]", "[sites.main]\nladder = ['own', 'own']", "sites.main.ladder", "own", "once"),
    ("[sites.main]", "[sites.main]\nladder = ['up']", "sites.main.ladder", "up", '"recorded"'),
    ("[sites.main]", "[sites.main]\nca_file = 'none'", "sites.main.ca_file", "none", "can be read"),
    ("[sites.main]", "[sites.main.nodes.'n.1']\n[sites.main]", "sites.main.nodes.n.1", "no node name", "letters"),
    ("[sites.main]", "[sites.main.nodes]\nn1 = 1\n[sites.main]", "sites.main.nodes.n1", "1", "a table"),
    ("[sites.main]", "[sites.main.nodes.n1]\ncookie = 'hush'\n[sites.main]", "sites.main.nodes.n1.cookie", "no", "SRV"),
    (
        "[sites.main]",
        "[sites.main.nodes.n1]\ncooky = 'h=1'\n[sites.main]",
        "sites.main.nodes.n1.cooky",
        "no",
        "cookie?",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "value", "right"), WRONG_CRAWLERS)
def test_a_wrong_crawler_is_refused(folder: Path, old: str, new: str, key: str, value: str, right: str) -> None:
    error = wrong(folder, CRAWLER.replace(old, new, 1))
    assert error.key == key
    assert value in error.value
    assert right in error.allowed
    assert "hush" not in str(error)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    error = wrong(folder, NODE.replace('"n1"', '"n 1"') + "[capture]\nratoi = 1\n[limits]\nconnections = 0\n")
    assert isinstance(error, ConfigErrors)
    assert [one.key for one in error.errors] == ["node.name", "capture.ratoi", "limits.connections"]
    assert len(str(error).splitlines()) == 3


@pytest.mark.parametrize("content", [b"[node", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused(folder: Path, content: bytes) -> None:
    path = folder / "it.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"it\.toml.*; allowed: a TOML file"):
        read_any(path)


def test_a_missing_file_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="not readable"):
        read_node(folder / "none.toml")


def test_a_file_of_the_other_kind_gives_one_line(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_node(write(folder, CRAWLER))
    told = "it.toml is a crawler's file, with [sites.NAME]; allowed: a companion's file, with [node]"
    assert str(caught.value).endswith(told)
    with pytest.raises(ConfigError) as caught:
        read_crawler(write(folder, NODE))
    assert len(str(caught.value).splitlines()) == 1
    assert "a companion's file" in str(caught.value)


def test_a_crawlers_fetch_table_and_further_origins(folder: Path) -> None:
    text = (
        CRAWLER
        + 'origins = ["https://shop.example.com", "http://old.example.com:8080"]\n[fetch]\nuser_agent = "bot/1 (x)"\n'
    )
    read = read_crawler(write(folder, text))
    assert read.fetch.user_agent == "bot/1 (x)"
    assert read.sites["main"].origins == ("https://shop.example.com", "http://old.example.com:8080")
    for wrong in ("a\\r\\nX: y", " a", "a ", "\u00fc", "x" * 201):
        with pytest.raises((ConfigError, ConfigErrors)):
            read_crawler(write(folder, f'{CRAWLER}[fetch]\nuser_agent = "{wrong}"\n'))
    for wrong in ('["https://shop.example.com/x"]', '["shop.example.com"]', '"https://a"', '["http://a", "http://a"]'):
        with pytest.raises((ConfigError, ConfigErrors)):
            read_crawler(write(folder, f"{CRAWLER}origins = {wrong}\n"))


def test_files_that_only_scripts_name_are_paths(folder: Path) -> None:
    read = read_crawler(write(folder, CRAWLER + 'script_files = ["/icons/b.png?v=1", "/c\u00e4.gif"]\n'))
    assert read.sites["main"].script_files == ("/icons/b.png?v=1", "/c\u00e4.gif")
    for wrong in ("icons/b.png", "//host/b.png", "/icons/*", "/a b", "/a#b", "/a\\\\b", "http://h/a", ""):
        with pytest.raises((ConfigError, ConfigErrors)):
            read_crawler(write(folder, f'{CRAWLER}script_files = ["{wrong}"]\n'))


def test_a_node_may_have_several_intakes(folder: Path) -> None:
    for text, read in (
        ('"http://a:1"', ("http://a:1",)),
        ('["http://b:1", "https://a"]', ("http://b:1", "https://a")),
        ('""', ()),
    ):
        assert read_node(write(folder, f"{NODE}\n[crawler]\nintake = {text}\n")).crawler.intake == read
