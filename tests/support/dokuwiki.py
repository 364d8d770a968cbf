"""DokuWiki, as Debian packages it, behind Apache's prefork with PHP in its processes; as many nodes as are named.

``sh .ci/programs dokuwiki`` installs all of it. Use it so::

    children, ports = Children(folder), ReservedPorts()
    applications = dokuwiki_nodes(children, ports, folder, ("n1", "n2"))
    applications.ports["n1"]            # Apache of the node n1; START is the path of the first page
    ProcessFarm(folder, children, ports, applications, balancer, sticky)

For one Apache elsewhere, :func:`write_site` makes the wiki (pages, an image, the user ``USER`` with ``PASSWORD``), and
:func:`apache` is the command that serves it. All nodes have one wiki, as on a shared file system. Each has sessions of
its own, in PHP's files: the cookie ``DokuWiki`` is worth something on one node only, so a balancer has to be sticky.

No file of the package is changed. PHP runs a file of the test before each of DokuWiki's scripts
(``auto_prepend_file``). It names the folder of the configuration, and writes each HTML answer into the ledger
(:mod:`tests.support.served_pages`) as PHP hands it to Apache.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable, Sequence
from hashlib import md5
from itertools import accumulate
from pathlib import Path

from attrs import frozen

from lbcompanion.demo.ports import LOOPBACK, ReservedPorts
from tests.support.children import Children, wait_for
from tests.support.farm import Applications, listens
from tests.support.programs import leave_out, need_program

USER, PASSWORD = "zoe", "swordfish-12 of the wiki"
START = "/doku.php?id=start"
#: Every page of the wiki before somebody edits it.
PAGES = ("start", "cheese", "wine", "bread")

_PROGRAM = Path("/usr/share/dokuwiki")
_DEFAULTS = Path("/etc/dokuwiki")
_MODULES = Path("/usr/lib/apache2/modules")

_APACHE = """ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Mutex file:{folder}
ErrorLog {folder}/apache.error
ServerName {address}
Listen {address}:{port}
{modules}
LoadModule php_module {php}
TypesConfig /etc/mime.types
StartServers {workers}
MinSpareServers {workers}
MaxSpareServers {workers}
ServerLimit {workers}
MaxRequestWorkers {workers}
KeepAlive On
KeepAliveTimeout {keep_alive_seconds}
MaxKeepAliveRequests 0
LogFormat "%{{begin:usec}}t %D %s %m %U%q %{{User-Agent}}i" cost
CustomLog {folder}/access.log cost
DocumentRoot {program}
DirectoryIndex doku.php
<Directory />
    AllowOverride None
    Options FollowSymLinks
    Require all granted
</Directory>
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
php_admin_value auto_prepend_file {folder}/before.php
php_admin_value session.save_path {folder}/sessions
php_admin_value error_log {folder}/php.error
"""

# The callback gets all output at the end, or in pieces where DokuWiki flushes.
_BEFORE = """<?php
define('DOKU_CONF', '{site}/conf/');
$lbc_page = bin2hex(random_bytes(8));
header("X-Page-Id: $lbc_page");
ob_start(function ($buffer, $phase) use ($lbc_page) {{
    $html = false;
    foreach (headers_list() as $line) $html = $html || preg_match('~^Content-Type:\\s*text/html~i', $line);
    $method = $_SERVER['REQUEST_METHOD'];
    if ($html && $method !== 'HEAD') {{
        $file = "{ledger}/$lbc_page";
        file_put_contents("$file.body", $buffer, FILE_APPEND);
        if ($phase & PHP_OUTPUT_HANDLER_FINAL) {{
            file_put_contents("$file.half", json_encode(array('node' => '{node}', 'method' => $method,
                'path' => $_SERVER['REQUEST_URI'], 'status' => http_response_code())));
            rename("$file.half", "$file.json");
        }}
    }}
    return $buffer;
}});
"""

_LOCAL = """<?php
$conf['title'] = 'The wiki of the kitchen';
$conf['lang'] = 'en';
$conf['savedir'] = '{site}/data';
$conf['useacl'] = 1;
$conf['authtype'] = 'authplain';
$conf['superuser'] = '@admin';
$conf['updatecheck'] = 0;
$conf['license'] = '';
$conf['disableactions'] = 'register,resendpwd';
"""


def dokuwiki_nodes(
    children: Children, ports: ReservedPorts, folder: Path, names: Sequence[str], workers: int = 8
) -> Applications:
    """Start an Apache with this many workers for each node, and wait until it answers.

    :param folder: gets the wiki, the ledger, and a folder for each node with Apache's files.
    """
    site, ledger = folder / "wiki", folder / "ledger"
    ledger.mkdir()
    write_site(site)
    applications = Applications({name: ports.take() for name in names}, ledger)
    for name, port in applications.ports.items():
        own = folder / f"apache-{name}"
        children.start(f"apache-{name}", apache(own, port, site, ledger, name, workers))
    for name, port in applications.ports.items():
        running = children[f"apache-{name}"]
        wait_for(f"DokuWiki {name}", lambda port=port: listens(port, START), 60, running)
    return applications


def apache(
    folder: Path, port: int, site: Path, ledger: Path, name: str, workers: int = 8, keep_alive_seconds: int = 5
) -> Sequence[str]:
    """The command that serves the wiki in the foreground.

    :param folder: gets Apache's and PHP's files; it must not exist.
    :param ledger: gets each page as it was served, of the node with this name.
    :param keep_alive_seconds: a worker waits this long for the next request on a connection.
    """
    program = need_program("apache2")
    php = next(iter(sorted(_MODULES.glob("libphp*.so"))), None)
    if php is None or not (_PROGRAM / "doku.php").is_file():
        leave_out("dokuwiki")
    (folder / "sessions").mkdir(parents=True)
    (folder / "before.php").write_text(_BEFORE.format(site=site, ledger=ledger, node=name))
    names = ("mpm_prefork", "authz_core", "dir", "mime")
    file = folder / "apache.conf"
    file.write_text(
        _APACHE.format(
            folder=folder,
            address=LOOPBACK,
            port=port,
            modules="\n".join(f"LoadModule {one}_module {_MODULES}/mod_{one}.so" for one in names),
            php=php,
            workers=workers,
            keep_alive_seconds=keep_alive_seconds,
            program=_PROGRAM,
        )
    )
    return [program, "-DFOREGROUND", "-f", str(file)]


def write_site(site: Path) -> None:
    """Write a wiki: its configuration, one user, and pages with an image that belongs to them."""
    if not (_PROGRAM / "doku.php").is_file():
        leave_out("dokuwiki")
    conf, data = site / "conf", site / "data"
    conf.mkdir(parents=True)
    for file in _DEFAULTS.glob("plugins*.php"):
        shutil.copyfile(file, conf / file.name)
    (conf / "local.php").write_text(_LOCAL.format(site=site))
    (conf / "acl.auth.php").write_text("*\t@ALL\t1\n*\t@user\t8\n")
    # DokuWiki takes 32 hexadecimal digits for MD5.
    password = md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()
    (conf / "users.auth.php").write_text(f"{USER}:{password}:Zoë:zoe@example.com:user\n")
    for name in ("attic", "cache", "index", "locks", "log", "media_attic", "media_meta", "meta", "tmp"):
        (data / name).mkdir(parents=True)
    (data / "pages").mkdir()
    (data / "media" / "wiki").mkdir(parents=True)
    links = " ".join(f"[[{name}]]" for name in PAGES)
    for number, name in enumerate(PAGES):
        (data / "media" / "wiki" / f"{name}.png").write_bytes(_png(20 + number))
        text = f"====== {name} ======\n\n{{{{wiki:{name}.png}}}} – café, naïve, 料理 {links}\n\n"
        text += "".join(f"===== {part} =====\n\n" + f"About {name}, part {part}. " * 20 + "\n\n" for part in range(8))
        (data / "pages" / f"{name}.txt").write_text(text)


def toolbar_files() -> list[str]:
    """Return the paths of the images around the editor, which only scripts name."""
    images = _PROGRAM / "lib" / "images"
    found = [*images.glob("toolbar/*"), *(images / f"{name}.gif" for name in ("larger", "smaller", "wrap"))]
    return sorted(f"/{file.relative_to(_PROGRAM)}" for file in found)


@frozen
class Answered:
    """One request that an Apache answered; times in microseconds."""

    begin: int
    took: int
    status: int
    method: str
    target: str
    user_agent: str


def access_log(folder: Path, name: str) -> list[Answered]:
    """Return what Apache of a node answered."""
    lines = (folder / f"apache-{name}" / "access.log").read_text().splitlines()
    return [
        Answered(int(begin), int(took), int(status), method, target, agent)
        for begin, took, status, method, target, agent in (line.split(" ", 5) for line in lines)
    ]


def most_at_once(answers: Iterable[Answered]) -> int:
    """Return how many of these requests were under way at one time."""
    changes = sorted(change for one in answers for change in ((one.begin, 1), (one.begin + one.took, -1)))
    return max(accumulate(change for _, change in changes), default=0)


def _png(size: int) -> bytes:
    """A grey square."""
    rows = b"".join(b"\0" + bytes([128] * size) for _ in range(size))
    chunks = [(b"IHDR", size.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
