"""The recorder script as it is served."""

from __future__ import annotations

from lbcompanion.recorder.script import recorder_source, versioned_script


def test_the_configuration_is_in_it() -> None:
    source = recorder_source(["SRV", "/a<b\u2028/"], "/x", ratio=0.5)
    assert b'{"names": ["SRV", "/a\\u003cb\\u2028/"], "prefix": "/x", "clicktaleNames": false, "ratio": 0.5' in source
    assert b"lbc:config" not in source
    source.decode("ascii")


def test_every_configuration_is_a_version_of_its_own() -> None:
    one, other = versioned_script(recorder_source(["a"])), versioned_script(recorder_source(["b"]))
    assert one.version != other.version
    assert one == versioned_script(recorder_source(["a"]))


def test_it_uses_nothing_that_policies_forbid() -> None:
    source = recorder_source([])
    for word in (
        b"eval(",
        b"innerHTML",
        b"outerHTML",
        b"document.write",
        b"new Function",
        b".style",
        b"insertAdjacent",
    ):
        assert word not in source
    assert len(source) < 16384
