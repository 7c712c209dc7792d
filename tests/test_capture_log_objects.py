"""Logs in object stores: an S3 server on loopback, memory, files; shipping that outlives the store's absence."""

from __future__ import annotations

import base64
import email.utils
import hmac
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from capture.conservation import Conservation
from capture.errors import BadInput
from capture.log.objects import ObjectSource, ObjectStore
from capture.log.reader import open_log
from capture.log.ship import Shipper
from capture.log.store import is_url, location_of, open_store
from capture.log.verify import verify
from capture.log.writer import LogWriter
from capture.settings import LogConfig
from tests.support.log_records import START_NS, an_exchange, exchanges, without_id, write_log

MS = 1_000_000
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every Azurite there is (its documentation); no secret."""
ROTATING = LogConfig(fsync="off", flush_ms=1, block_bytes=1024, segment_bytes=3000, compact=False, retry_ms=5)


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of moto's S3 server, started for these tests."""
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty prefix in a bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST"), timeout=10).close()
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/logs", method="PUT"), timeout=10).close()
    return "s3://logs/shop/eu"


@pytest.fixture
def container(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty prefix in a container of Azurite, Microsoft's emulator of Azure Blob Storage."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite is not installed (npm install -g azurite)")
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
    command = [program, *options, "--location", str(tmp_path_factory.mktemp("azurite"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            lines = iter(server.stdout.readline, "")
            address = next(line.split()[-1] for line in lines if "successfully listens on" in line)
            account = f"{address}/{AZURITE_ACCOUNT}"
            monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT)
            monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY)
            monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", account)
            date = email.utils.formatdate(usegmt=True)
            resource = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/logs\nrestype:container"
            asked = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n{resource}"
            signed = hmac.digest(base64.b64decode(AZURITE_KEY), b"PUT" + b"\n" * 12 + asked.encode(), "sha256")
            fields = {
                "x-ms-date": date,
                "x-ms-version": "2021-08-06",
                "Authorization": f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(signed).decode()}",
                "Content-Length": "0",
            }
            made = urllib.request.Request(f"{account}/logs?restype=container", method="PUT", headers=fields)
            urllib.request.urlopen(made, timeout=10).close()
            yield "az://logs/shop/eu"
        finally:
            server.terminate()


@pytest.fixture
def gcs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty prefix in a bucket behind Google's XML API, which is S3's but for who signs the request.

    So it is moto that answers, once the bearer token is taken for a signature of its own.
    """
    application = pytest.importorskip("moto.moto_server.werkzeug_app")
    answer = application.DomainDispatcherApplication(application.create_backend_app)

    def as_s3(environ: dict[str, Any], start: Any) -> Any:
        assert environ.get("HTTP_AUTHORIZATION", "Bearer").startswith("Bearer")
        environ["HTTP_AUTHORIZATION"] = "AWS4-HMAC-SHA256 Credential=t/20260101/us-east-1/s3/aws4_request, Signature=0"
        return answer(environ, start)

    server = make_server("127.0.0.1", 0, as_s3, server_class=ThreadingServer, handler_class=SilentHandler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    address = f"http://127.0.0.1:{server.server_port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST"), timeout=10).close()
    urllib.request.urlopen(urllib.request.Request(f"{address}/logs", method="PUT"), timeout=10).close()
    account = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    monkeypatch.setenv("GOOGLE_BASE_URL", address)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account | {"gcs_base_url": address}))
    yield "gs://logs/shop/eu"
    server.shutdown()
    server.server_close()
    serving.join(30)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """One thread a connection, as the library keeps some of them open."""

    daemon_threads = True


class SilentHandler(WSGIRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, format: str, *args: Any) -> None:
        """Not in a test."""


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("waited ten seconds in vain")


@pytest.mark.net
def test_a_log_that_is_an_url_is_shipped_while_it_is_written_and_read_back_by_ranges(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LogConfig(
        fsync="off", flush_ms=1, block_bytes=1024, segment_bytes=3000, compact=False, spool=tmp_path / "spool"
    )
    writer = LogWriter(Path(bucket), config, {"source": "test"})
    for record in exchanges(300):
        while writer.put(record) is not None:
            pass
    counts = Conservation()
    counts.seen = counts.kept = 300
    writer.close(counts)
    shipping = writer.shipping
    assert shipping is not None
    assert shipping.waiting == 0
    assert shipping.shipped > 3
    with open_log(bucket) as log:
        assert without_id(log.exchanges()) == exchanges(300)
        assert log.conservation().seen == 300
        assert verify(log).whole

    fetched: list[int] = []
    read_range = ObjectSource._range

    def counted(self: ObjectSource, offset: int, length: int) -> bytes:
        fetched.append(length)
        return read_range(self, offset, length)

    monkeypatch.setattr(ObjectSource, "_range", counted)
    with open_log(bucket) as log:
        segments = len(log.segments)
        fetched.clear()
        assert without_id(log.exchanges(START_NS + 250 * MS, START_NS + 260 * MS)) == exchanges(10, first=250)
        assert len(fetched) <= 2 < segments
        found = log.get(f"{log.segments[0].segment}-0")
        assert found is not None
        assert without_id([found]) == exchanges(1)


@pytest.mark.net
@pytest.mark.parametrize("fixture", ["container", "gcs_bucket"])
def test_logs_in_azure_and_google_stores_are_written_read_by_ranges_and_thinned(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url: str = request.getfixturevalue(fixture)
    writer = LogWriter(tmp_path, replace(ROTATING, ship_to=url, ship_keep=False), {"source": "test"})
    for record in exchanges(300):
        while writer.put(record) is not None:
            pass
    writer.close(Conservation())
    assert writer.shipping is not None
    assert (writer.shipping.waiting, writer.shipping.failing) == (0, None)
    assert list(tmp_path.glob("*.seg")) == []
    with open_log(url) as log:
        assert without_id(log.exchanges()) == exchanges(300)
        assert verify(log).whole
        first, *others = log.segments
        assert without_id(log.exchanges(START_NS + 250 * MS, START_NS + 260 * MS)) == exchanges(10, first=250)
        assert log.get(f"{others[-1].segment}-0") is not None
        log.remove(first)
    with open_log(url) as log:
        assert [info.segment for info in log.segments] == [info.segment for info in others]


@pytest.mark.net
def test_capture_goes_on_while_the_store_is_away_and_the_next_writer_ships_what_was_left(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.log.writer._SHIP_DRAIN_S", 0.05)
    monkeypatch.setattr("capture.log.objects._TIMEOUT", timedelta(milliseconds=100))
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        writer = LogWriter(tmp_path, LogConfig(fsync="off", flush_ms=1, retry_ms=5, ship_to=bucket), {})
        assert writer.put(an_exchange(0)) is None
        wait_until(lambda: writer.shipping is not None and writer.shipping.errors > 0)
        writer.close(Conservation())
        assert writer.stats().failing is None
        assert writer.shipping is not None
        assert writer.shipping.failing is not None
    assert len(list(tmp_path.glob("*.seg"))) == 1

    shipper = Shipper(tmp_path, bucket, keep=True, retry_ms=5)
    assert shipper.close(30) == 0
    with open_log(bucket) as log:
        assert without_id(log.exchanges()) == [an_exchange(0)]
    again = Shipper(tmp_path, bucket, keep=False, retry_ms=5)
    assert again.close(30) == 0
    assert again.stats().shipped == 0


@pytest.mark.net
def test_a_bucket_without_a_log_is_refused_in_one_line(bucket: str) -> None:
    with pytest.raises(BadInput, match="no segments of a log here") as error:
        open_log(bucket)
    assert bucket in str(error.value)


def test_a_store_that_refuses_is_asked_again_and_nothing_is_shipped_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path, exchanges(3))
    write_log(tmp_path, exchanges(3))
    failures = [OSError("refused")] * 3
    shipped: list[str] = []
    put = ObjectStore.put

    def flaky(self: ObjectStore, path: Path) -> None:
        if path.parent != tmp_path:  # a shipper of an earlier test that has not given up yet
            raise OSError("not asked")
        if failures:
            raise failures.pop()
        shipped.append(path.name)
        put(self, path)

    monkeypatch.setattr(ObjectStore, "put", flaky)
    shipper = Shipper(tmp_path, f"memory:///{tmp_path.name}-flaky", keep=True, retry_ms=1)
    wait_until(lambda: shipper.stats().shipped == 2)
    assert shipper.close(10) == 0
    assert shipper.stats().errors == 3
    assert sorted(shipped) == sorted(path.name for path in tmp_path.iterdir())


def test_shipped_segments_can_leave_the_local_disk(tmp_path: Path) -> None:
    write_log(tmp_path / "log", exchanges(3))
    shipper = Shipper(tmp_path / "log", (tmp_path / "store").as_uri(), keep=False, retry_ms=1)
    wait_until(lambda: shipper.stats().shipped == 1)
    assert shipper.close(10) == 0
    assert list((tmp_path / "log").iterdir()) == []
    with open_log((tmp_path / "store").as_uri()) as log:
        assert without_id(log.exchanges()) == exchanges(3)


def test_a_segment_that_is_about_to_be_rewritten_is_shipped_only_then(tmp_path: Path) -> None:
    small, large = write_log(tmp_path / "log", exchanges(3)), write_log(tmp_path / "log", exchanges(30))
    pending = {large}
    shipper = Shipper(
        tmp_path / "log", (tmp_path / "store").as_uri(), keep=False, retry_ms=1, pending=lambda path: path in pending
    )
    wait_until(lambda: shipper.stats().shipped == 1)
    assert [path.name for path in (tmp_path / "store").iterdir()] == [small.name]
    assert shipper.stats().waiting == 1
    pending.clear()
    shipper.notify()
    wait_until(lambda: shipper.stats().shipped == 2)
    assert shipper.close(10) == 0


def test_an_open_segment_is_not_shipped(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", LogConfig(fsync="off", flush_ms=1, ship_to=(tmp_path / "s").as_uri()), {})
    writer.put(an_exchange(0))
    wait_until(lambda: writer.stats().written_bytes > 0)
    assert list((tmp_path / "s").glob("*")) == []
    writer.close(Conservation())
    assert len(list((tmp_path / "s").glob("*.seg"))) == 1


def test_removing_a_segment_of_a_store_twice_is_harmless(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(1))
    store = open_store(tmp_path.as_uri())
    store.remove(path.name)
    store.remove(path.name)
    assert store.segments() == []


def test_an_url_that_went_through_a_path_is_still_one() -> None:
    assert location_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert location_of(Path("memory:///x")) == "memory:///x"
    assert location_of("gs://bucket") == "gs://bucket"
    assert location_of(Path("logs/s3")) == "logs/s3"
    assert is_url("az://account/container")
    assert not is_url("./s3")


def test_names_in_a_bucket_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(1))
    (tmp_path / "README").write_text(json.dumps({}))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "0123456789ab.seg").write_bytes(b"x")
    assert [stored.name for stored in open_store(tmp_path.as_uri()).segments()] == [path.name]
