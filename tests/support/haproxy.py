"""A real HAProxy on a free loopback port, started and stopped by the test."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["HAPROXY", "serve"]

HAPROXY = shutil.which("haproxy") or ("/usr/sbin/haproxy" if Path("/usr/sbin/haproxy").exists() else None)

_DEFAULTS = """
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 20s
backend service
    server one 127.0.0.1:{port}
"""


@contextlib.contextmanager
def serve(root: Path, config: str, service_port: int) -> Iterator[int]:
    """Run HAProxy with `config`, whose `bind :80` becomes a free port and whose backend `service` is at `service_port`.

    Yields the port, ends the process afterwards. The listening socket is made here and inherited: no port is guessed.
    """
    if HAPROXY is None:
        pytest.skip("haproxy is not installed")
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    path, log = root / "haproxy.cfg", root / "haproxy.log"
    global_part, frontend, rest = config.partition("frontend")
    assert "bind :80\n" in rest
    bound = rest.replace("bind :80\n", f"bind fd@{listener.fileno()}\n")
    path.write_text(global_part + _DEFAULTS.format(port=service_port) + frontend + bound)
    with log.open("wb") as said:
        process = subprocess.Popen(
            [HAPROXY, "-db", "-f", str(path)], stdout=said, stderr=said, pass_fds=[listener.fileno()]
        )
        port = listener.getsockname()[1]
        listener.close()
        try:
            yield port
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
