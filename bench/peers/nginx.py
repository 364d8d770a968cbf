"""nginx: with the tag by sub_filter and the copy by Lua, and as a plain proxy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.certificate import CERTIFICATE, KEY
from bench.peers.interface import Peer, program
from bench.targets import NGINX, NGINX_LUA
from bench.workload import NOT_CAPTURED

_MODULES = Path("/usr/lib/nginx/modules")

# As one who knows nginx would set it up: kept connections on both sides, a page fits into the buffers, a download that
# does not slows the application instead of filling the disk, no access log.
_CONFIGURATION = """\
{modules}
{user}
daemon off;
worker_processes {workers};
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    tcp_nodelay on;
    keepalive_timeout 75;
    keepalive_requests 100000000;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    proxy_max_temp_file_size 0;
    upstream application {{
        server 127.0.0.1:{origin_port};
{kept}    }}
{http}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
{tls}
{server}
        location / {{
{proxying}
{location}
        }}
    }}
}}
"""

_PROXYING = """\
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
"""

# The dictionary is as large as the companion's memory store is by default.
_HTTP = """\
    lua_shared_dict copies 256m;
    gzip on; gzip_comp_level 3; gzip_min_length 1;
    init_by_lua_block {
        local ffi = require "ffi"
        ffi.cdef "int RAND_bytes(unsigned char *buf, int num);"
        local b64 = require "ngx.base64"
        local block, size, used = ffi.new("unsigned char[4096]"), 4096, 4096
        -- 128 unguessable bits for each page, drawn in blocks.
        function new_token()
            if used >= size then
                if ffi.C.RAND_bytes(block, size) ~= 1 then return nil end
                used = 0
            end
            used = used + 16
            return "1" .. b64.encode_base64url(ffi.string(block + used - 16, 16)) .. "n1"
        end
    }
"""

_SERVER = f"""\
        location {NOT_CAPTURED} {{
{_PROXYING}
            proxy_set_header Accept-Encoding $http_accept_encoding;
        }}
        location /_lbc/page/ {{
            content_by_lua_block {{
                local page = ngx.shared.copies:get(ngx.var.uri:sub(12))
                if not page then return ngx.exit(404) end
                ngx.print(page)
            }}
        }}
"""

_SCRIPT = '<script async src="/_lbc/fetch-from.js?v=0a1b2c3d4e5f" data-lbc-token="$lbc_token"'

# The Lua filter runs before sub_filter and sees the application's bytes; sub_filter cannot read coded ones.
_LOCATION = f"""\
            proxy_set_header Accept-Encoding "";
            set $lbc_token "";
            header_filter_by_lua_block {{
                local kind = ngx.header.content_type
                if ngx.status == 200 and kind and kind:find("text/html", 1, true) == 1 then
                    local token = new_token()
                    ngx.var.lbc_token = token
                    ngx.ctx.token, ngx.ctx.parts, ngx.ctx.size = token, {{}}, 0
                end
            }}
            body_filter_by_lua_block {{
                local ctx = ngx.ctx
                local parts = ctx.parts
                if not parts then return end
                local chunk = ngx.arg[1]
                if chunk and #chunk > 0 then
                    ctx.size = ctx.size + #chunk
                    if ctx.size > 4194304 then ctx.parts = nil return end
                    parts[#parts + 1] = chunk
                end
                if ngx.arg[2] then
                    ngx.shared.copies:set(ctx.token, #parts == 1 and parts[1] or table.concat(parts), 600)
                    ctx.parts = nil
                end
            }}
            sub_filter_once on;
            sub_filter '<head>' '<head>{_SCRIPT} data-lbc-fetch-from="$scheme://$http_host/_lbc/page/$lbc_token"></script>';
"""


_TLS = f"""\
        listen 127.0.0.1:{{tls_port}} backlog=1024 ssl;
        ssl_certificate {CERTIFICATE};
        ssl_certificate_key {KEY};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:visitors:10m;
"""

_KEPT = """\
        keepalive 64;
        keepalive_requests 100000000;
"""


class _Nginx(Peer):
    #: Directives that keep connections to the application.
    kept = _KEPT
    takes_tls = takes_closing = takes_workers = True

    @classmethod
    def missing(cls) -> str:
        """nginx itself, as far as can be seen."""
        return "" if program("nginx") else "the program nginx"

    @classmethod
    def version(cls) -> str:
        """The version that the program prints."""
        output = subprocess.run([program("nginx") or "", "-v"], capture_output=True, text=True, check=False).stderr
        return output.strip().rpartition("/")[2]

    def _command(self, modules: str, http: str, server: str, location: str) -> list[str]:
        text = _CONFIGURATION.format(
            modules=modules,
            # As root, workers would else become somebody who cannot read this folder.
            user="user root;" if os.geteuid() == 0 else "",
            origin_port=self.origin_port,
            port=self.port,
            workers=self.workers,
            tls=_TLS.format(tls_port=self.tls_port) if self.tls_port else "",
            kept=self.kept,
            http=http,
            server=server,
            proxying=_PROXYING,
            location=location,
        )
        (self.folder / "nginx.conf").write_text(text)
        found = program("nginx")
        assert found is not None
        return [found, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "error.log"]


class NginxLua(_Nginx):
    """nginx with a Lua module: token and copies in Lua and a shared dict, the tag by sub_filter."""

    name = NGINX_LUA

    @classmethod
    def missing(cls) -> str:
        """nginx, or its Lua module."""
        if lacking := super().missing():
            return lacking
        modules = ("ndk_http_module.so", "ngx_http_lua_module.so")
        return next((f"nginx's module {name}" for name in modules if not (_MODULES / name).exists()), "")

    def command(self) -> list[str]:
        """With both modules loaded."""
        modules = "\n".join(
            f"load_module {_MODULES}/{name};" for name in ("ndk_http_module.so", "ngx_http_lua_module.so")
        )
        return self._command(modules, _HTTP, _SERVER, _LOCATION)

    def copy(self, token: str) -> bytes:
        """From the shared dict; unsigned, since nginx cannot check signatures."""
        return self.get(f"/_lbc/page/{token}", {})


class NginxPlain(_Nginx):
    """A proxy that only passes on: what any proxying costs here."""

    name = NGINX
    tagged = False

    def command(self) -> list[str]:
        """No module, no filter."""
        return self._command("", "", "", "            proxy_set_header Accept-Encoding $http_accept_encoding;")
