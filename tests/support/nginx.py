"""A real nginx on a free loopback port, started and stopped by the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["NGINX", "serve"]

NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)

_CONFIG = """
{user}
worker_processes 1;
daemon off;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ text/html html; application/json json; text/plain txt; }}
    keepalive_requests 1000000000;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


@contextlib.contextmanager
def serve(root: Path, server: str = "", http: str = "") -> Iterator[int]:
    """Run nginx with `server` inside its one server block; yields the port, ends the process afterwards.

    root: an empty directory for its files; `root/www` is created for documents and served unless `server` says else.
    The listening socket is made here and inherited (the NGINX variable of its binary upgrade), so no port is guessed.
    """
    if NGINX is None:
        pytest.skip("nginx is not installed")
    (root / "www").mkdir(parents=True, exist_ok=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.set_inheritable(True)
    port = listener.getsockname()[1]
    config = root / "nginx.conf"
    # Where tests run as root, nginx would serve as an account that may not read the test's directory.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        _CONFIG.format(
            user=user, root=root, port=port, http=http, server=server or f"location / {{ root {root}/www; }}"
        )
    )
    process = subprocess.Popen(
        [NGINX, "-p", str(root), "-c", str(config)],
        env={**os.environ, "NGINX": f"{listener.fileno()};"},
        pass_fds=[listener.fileno()],
        stderr=subprocess.DEVNULL,
    )
    listener.close()
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
