"""``export``."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.warc_reader import stored_records
from tests.support.archives import Place
from tests.support.cli import run


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    place = Place(tmp_path)
    place.store("t1", b"<title>One</title>")
    place.store("t2", b"two", method="POST")
    place.database.close()
    (tmp_path / "farm.secret").write_text("0123456789abcdef-secret\n")
    (tmp_path / "farm.secret").chmod(0o600)
    file = tmp_path / "crawler.toml"
    file.write_text(
        '[crawler]\nsecret_file = "farm.secret"\nqueue = "sqlite:///q.db"\n'
        '[sites.main]\norigin = "http://www.example.com"\n'
    )
    return file


@pytest.mark.slow
def test_pages_are_written_to_a_file(file: Path, tmp_path: Path) -> None:
    done = run("export", "--config", file, "--wacz", tmp_path / "all.wacz")
    assert (done.exit_code, done.stdout.split(": ", 1)[1][:18]) == (0, "2 pages, 3 records")
    assert zipfile.is_zipfile(tmp_path / "all.wacz")
    warc, index = tmp_path / "one.warc.gz", tmp_path / "one.cdxj"
    selection = ("--url", "http://www.example.com/a*", "--from", "1970-01-01", "--to", "2026-11-24T00:00:00Z")
    chosen = (*selection, "--node", "n1", "--status", "200", "--route", "own", "--token", "t2", "--token", "t3")
    done = run("export", "--config", file, "--warc", warc, "--cdxj", index, *chosen, "--json")
    printed = json.loads(done.stdout)
    assert printed == {"file": str(warc), "pages": 1, "records": 2, "bytes": warc.stat().st_size}
    with warc.open("rb") as stream:
        assert [each.kind for each in stored_records(stream)] == ["warcinfo", "response", "request"]
    (line,) = index.read_text().splitlines()
    assert line.startswith("com,example)/a?__wb_method=post&b=c 20261123211000000 {")
    assert f'"filename": "{warc.name}"' in line


@pytest.mark.slow
def test_what_cannot_be_exported(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.warc.gz"
    for wrong in (
        (),
        ("--warc", out, "--wacz", out),
        ("--wacz", out, "--cdxj", out),
        ("--warc", out, "--from", "yesterday"),
        ("--warc", out, "--to", "2026-13-01"),
    ):
        assert run("export", "--config", file, *wrong).exit_code == 2
    done = run("export", "--config", file, "--warc", out, "--cdxj", tmp_path / "i.cdxj", "--token", "none")
    assert (done.exit_code, done.stderr) == (1, "lbcompanion: no archived page fulfils the conditions\n")
    out.write_bytes(b"something")
    assert "is there already" in run("export", "--config", file, "--warc", out).stderr
    assert out.read_bytes() == b"something"
    (tmp_path / "q.db").unlink()
    assert "there is no queue at" in run("export", "--config", file, "--wacz", tmp_path / "o.wacz").stderr
    assert {each.name for each in tmp_path.iterdir()} & {"i.cdxj", "o.wacz", "q.db"} == set()
