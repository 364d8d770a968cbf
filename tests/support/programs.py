"""Programs, libraries and other parts that tests need and that may be missing."""

from __future__ import annotations

import os
import shutil
import sys
import unittest
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from tests.support import marks

#: Daemons live where an ordinary user's PATH does not look.
_FURTHER = ("/usr/sbin", "/usr/local/sbin", "/sbin")
#: Other names under which a program is found.
_NAMES = {"chromium": ("chromium", "google-chrome", "google-chrome-stable")}
_REPLAY_TOOLS = ("pywb", "wb-manager", "cdxj-indexer", "wacz")
_DOKUWIKI = Path("/usr/share/dokuwiki/doku.php")
_RAILS = Path("/usr/share/rubygems-integration/all/specifications")
_EXPRESS = Path("/usr/share/nodejs/express/index.js")
_TOMCAT = Path("/usr/share/tomcat10/bin/bootstrap.jar")
#: How the reason of a test begins that was left out.
LEFT_OUT = "this test needs "


def in_ci() -> bool:
    """Whether everything must run."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def find_program(name: str) -> str | None:
    """The path of a program, or None where it is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FURTHER))
    for one in _NAMES.get(name, (name,)):
        if found := shutil.which(one, path=path):
            return found
    if name == "chromium":
        cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
        return next((str(one) for one in sorted(cache.glob("chromium-*/chrome-linux*/chrome"))), None)
    if name == "postgres":  # of any version
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: int(one.parts[4]))
        return str(versions[-1]) if versions else None
    if name == "tomcat":  # no program of its own: a Java machine is started with it
        return str(_TOMCAT) if _TOMCAT.is_file() else None
    if name == "rails":  # a library of Ruby
        return shutil.which("puma", path=path) if any(_RAILS.glob("rails-[0-9]*.gemspec")) else None
    if name == "express":  # a library of Node
        return shutil.which("node", path=path) if _EXPRESS.is_file() else None
    if name == "dokuwiki":  # scripts for PHP
        return str(_DOKUWIKI) if _DOKUWIKI.is_file() else None
    if name == "apache2-php":  # a module, of any version
        return next((str(one) for one in sorted(Path("/usr/lib/apache2/modules").glob("libphp*.so"))), None)
    if name == "php-fpm":  # of any version
        return next((str(one) for one in sorted(Path("/usr/sbin").glob("php-fpm*"))), None)
    if name in _REPLAY_TOOLS:  # in an environment of their own: they need old versions of libraries
        tool = Path(sys.prefix) / "replay" / "bin" / name
        return str(tool) if tool.is_file() else None
    if name == "replaywebpage":  # scripts for a browser
        package = Path(sys.prefix) / "replaywebpage" / "package"
        return str(package) if package.is_dir() else None
    if name == "distribution-python":  # not the one that a user may have compiled
        python = Path("/usr/bin") / f"python{sys.version_info.major}.{sys.version_info.minor}"
        return str(python) if python.is_file() else None
    if name == "gunicorn":  # run by this Python
        return sys.executable if find_spec("gunicorn") else None
    if name == "envoy":  # in a wheel
        spec = find_spec("envoy")
        wheel = Path(next(iter((spec and spec.submodule_search_locations) or ("",)))) / "_bin" / "envoy"
        return str(wheel) if wheel.is_file() else None
    if name == "traefik":  # in a wheel, beside this Python
        beside = Path(sys.executable).parent / "traefik"
        return str(beside) if beside.is_file() else None
    return None


def need_program(name: str) -> str:
    """The path of a program this test cannot do without; may be called in any test, set-up or fixture."""
    marks.check_program(name)
    return find_program(name) or leave_out(name)


def need_library(name: str) -> ModuleType:
    """The module of a library of an extra; may be called in any test, set-up or fixture."""
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        leave_out(name)


def leave_out(name: str) -> NoReturn:
    """Leave this test out, for want of something. The summary at the end has the count.

    :raises unittest.SkipTest: without ``CI=true``.
    """
    if in_ci():
        raise AssertionError(f"{LEFT_OUT}{name}; with CI=true nothing may be left out")
    raise unittest.SkipTest(f"{LEFT_OUT}{name}, which is not installed here")
