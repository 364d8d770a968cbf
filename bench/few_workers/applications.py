"""Real applications with few workers: Apache prefork with PHP, Gunicorn's sync workers, and Puma's threads."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.peers.interface import Peer, program

_MODULES = Path("/usr/lib/apache2/modules")

LOGO = b"\x89PNG" + bytes(4092)
#: What each page takes, beside the work of the server itself.
PAGE_SECONDS = 0.01
_PAGE = """\
<!doctype html>
<html><head><title>Garden tools</title><link rel="stylesheet" href="/file-1.css"></head>
<body>{items}<img src="/logo.png" alt=""></body></html>
"""
PAGE = _PAGE.format(items="<p>Spade, ash handle, forged in one piece.</p>\n" * 200).encode()
FILES = tuple(f"/file-{number}.css" for number in range(1, 7))

_APACHE = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Mutex file:{folder}
ErrorLog {folder}/apache.error
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
{modules}
StartServers {workers}
MinSpareServers {workers}
MaxSpareServers {workers}
ServerLimit {workers}
MaxRequestWorkers {workers}
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 0
DocumentRoot {folder}/site
<Directory {folder}/site>
    Require all granted
</Directory>
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
"""

_WSGI = """\
import time

LOGO = {logo!r}
PAGE = {page!r}


def application(environ, start_response):
    page = environ["PATH_INFO"] == "/page.php"
    if page:
        time.sleep({seconds})
    body = PAGE if page else LOGO
    kind = "text/html; charset=utf-8" if page else "image/png"
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
"""

_PUMA = """\
bind "tcp://127.0.0.1:{port}?backlog=2048"
threads {workers}, {workers}
environment "production"
quiet
LOGO = File.binread("logo")
PAGE = File.binread("page")
app do |env|
  if env["PATH_INFO"] == "/page.php"
    sleep {seconds}
    [200, {{"Content-Type" => "text/html; charset=utf-8", "Content-Length" => PAGE.bytesize.to_s}}, [PAGE]]
  else
    [200, {{"Content-Type" => "image/png", "Content-Length" => LOGO.bytesize.to_s}}, [LOGO]]
  end
end
"""


class Application(Peer):
    """An application that is no proxy: the port of the application is not used.

    :cvar workers: the number of connections that it serves at a time.
    """

    workers = 0


class ApachePrefork(Application):
    """Each connection holds one of eight processes until it was idle for five seconds. Pages are PHP."""

    name = "Apache prefork, 8 workers, PHP"
    workers = 8

    @classmethod
    def _php(cls) -> Path | None:
        return next(iter(sorted(_MODULES.glob("libphp*.so"))), None)

    @classmethod
    def missing(cls) -> str:
        """Apache, its prefork module or PHP."""
        if not program("apache2"):
            return "the program apache2"
        if not (_MODULES / "mod_mpm_prefork.so").is_file():
            return "Apache's module mod_mpm_prefork"
        return "" if cls._php() else "Apache's module libphp"

    @classmethod
    def version(cls) -> str:
        """The version that Apache prints."""
        output = subprocess.run([program("apache2") or "", "-v"], capture_output=True, text=True, check=False).stdout
        return output.partition("Apache/")[2].partition(" ")[0]

    def command(self) -> list[str]:
        """Write the site and the configuration; run in the foreground."""
        site = self.folder / "site"
        site.mkdir()
        for name in ("/logo.png", *FILES):
            (site / name[1:]).write_bytes(LOGO)
        (site / "page.php").write_bytes(b"<?php usleep(%d); ?>" % (1e6 * PAGE_SECONDS) + PAGE)
        loaded = {"mpm_prefork": _MODULES / "mod_mpm_prefork.so", "authz_core": _MODULES / "mod_authz_core.so"}
        loaded["php"] = self._php() or Path()
        modules = "\n".join(f"LoadModule {name}_module {path}" for name, path in loaded.items())
        text = _APACHE.format(folder=self.folder, port=self.port, modules=modules, workers=self.workers)
        (self.folder / "apache.conf").write_text(text)
        found = program("apache2")
        assert found is not None
        # Without its php.ini of the distribution: the same everywhere.
        return ["env", f"PHPRC={self.folder}", found, "-DFOREGROUND", "-f", str(self.folder / "apache.conf")]


class GunicornSync(Application):
    """Each of four processes serves one connection at a time, and closes it after one response."""

    name = "Gunicorn, 4 sync workers"
    workers = 4

    @classmethod
    def missing(cls) -> str:
        """Gunicorn, if the extra ``bench`` is not installed."""
        return "" if cls.version() else "the package gunicorn"

    @classmethod
    def version(cls) -> str:
        """Return Gunicorn's version."""
        try:
            return version("gunicorn")
        except PackageNotFoundError:
            return ""

    def command(self) -> list[str]:
        """Write the application; run it by this Python."""
        text = _WSGI.format(logo=LOGO, page=PAGE, seconds=PAGE_SECONDS)
        (self.folder / "shop.py").write_text(text)
        heartbeat = "/dev/shm" if os.path.isdir("/dev/shm") else str(self.folder)
        options = ["--workers", str(self.workers), "--worker-class", "sync", "--worker-tmp-dir", heartbeat]
        options += ["--bind", f"127.0.0.1:{self.port}", "--backlog", "2048", "--preload", "--log-level", "error"]
        options += ["--chdir", str(self.folder), "--no-control-socket"]
        return self.python_command("-m", "gunicorn", *options, "shop:application")


class Puma(Application):
    """Each of four threads serves one request at a time; an idle connection holds no thread."""

    name = "Puma, 4 threads"
    workers = 4

    @classmethod
    def missing(cls) -> str:
        """Puma, a program of Ruby."""
        return "" if program("puma") else "the program puma"

    @classmethod
    def version(cls) -> str:
        """The version that Puma prints."""
        output = subprocess.run(
            [program("puma") or "", "--version"], capture_output=True, text=True, check=False
        ).stdout
        return output.strip().rpartition(" ")[2]

    def command(self) -> list[str]:
        """Write the application; run it in one process."""
        (self.folder / "logo").write_bytes(LOGO)
        (self.folder / "page").write_bytes(PAGE)
        text = _PUMA.format(port=self.port, workers=self.workers, seconds=PAGE_SECONDS)
        (self.folder / "puma.rb").write_text(text)
        found = program("puma")
        assert found is not None
        return [found, "-C", str(self.folder / "puma.rb")]


APPLICATIONS: tuple[type[Application], ...] = (ApachePrefork, GunicornSync, Puma)
