"""The real command before a real nginx, with curl and wrk: same bytes, counts that add up, a log that reads back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.log.reader import open_log
from tests.support import nginx
from tests.support.relay import ROOT, relay_process, understudy

pytestmark = pytest.mark.net

KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "00112233445566778899aabbccddeeff"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with a small JSON document, an empty one and a large one."""
    www = tmp_path / "nginx" / "www"
    www.mkdir(parents=True)
    (www / "small.json").write_bytes(b'{"name":"lamp","price":12}')
    (www / "empty.txt").write_bytes(b"")
    (www / "large.bin").write_bytes(bytes(range(256)) * 12_000)
    with nginx.serve(tmp_path / "nginx") as port:
        yield port


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def curl(port: int, *arguments: str) -> bytes:
    command = [tool("curl"), "--silent", "--show-error", "--max-time", "20", *arguments]
    return subprocess.run(
        [word.replace("@", f"http://127.0.0.1:{port}") for word in command], capture_output=True, check=True
    ).stdout


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"\r\nDate: [^\r]*", b"", answer)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--include", "@/small.json"),
        ("--include", "--head", "@/small.json"),
        ("--include", "@/small.json", "@/empty.txt", "@/missing", "@/small.json"),
        ("--include", "--range", "100-199", "@/large.bin"),
        ("--include", "@/large.bin"),
        ("--include", "--http1.0", "@/small.json"),
        ("--include", "--data", "a=1", "@/small.json"),
        ("--include", "--header", "Expect: 100-continue", "--data-binary", "x" * 3000, "@/small.json"),
    ],
)
def test_curl_gets_the_same_bytes_through_the_relay(site: int, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    directly = curl(site, *arguments)
    assert b"200 OK" in directly or b"206 Partial" in directly or b"405 Not Allowed" in directly
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        through = curl(relay.port, *arguments)
        counts = relay.stop()
    # nginx writes its own port nowhere in these answers, so only the date may differ.
    assert without_date(through) == without_date(directly)
    urls = sum(word.startswith("@") for word in arguments)
    # nginx refuses the last one before its body was sent, which curl then keeps to itself: not a whole exchange.
    assert (counts.seen, counts.kept + sum(counts.incomplete.values())) == (urls, urls)
    with open_log(tmp_path / "log") as log:
        exchanges = list(log.exchanges())
    assert len(exchanges) == urls
    assert {exchange.server for exchange in exchanges} == {f"127.0.0.1:{site}"}


def test_every_exchange_of_wrk_is_kept_and_reads_back(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        command = [tool("wrk"), "-t1", "-c8", "-d1s", f"http://127.0.0.1:{relay.port}/small.json"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        counts = relay.stop()
    assert "Socket errors" not in out
    found = re.search(r"(\d+) requests in", out)
    assert found is not None
    answered = int(found[1])
    # wrk drops what is in flight when its time is up: at most one request on each connection.
    assert answered <= counts.seen <= answered + 8
    assert counts.kept + sum(counts.incomplete.values()) + sum(counts.shed.values()) == counts.seen
    with open_log(tmp_path / "log") as log:
        whole = [exchange for exchange in log.exchanges() if exchange.complete]
        assert log.damage == []
        assert log.conservation().as_dict() == counts.as_dict()
    assert len(whole) == counts.kept
    assert {exchange.response.body for exchange in whole if exchange.response} == {b'{"name":"lamp","price":12}'}


def test_a_stop_waits_for_the_exchange_under_way(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with relay_process("{}:{}".format(*listener.getsockname()), tmp_path / "log", environ=KEY) as relay:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
                client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
                upstream, _ = listener.accept()
                with upstream:
                    upstream.settimeout(10)
                    assert upstream.recv(1000).startswith(b"GET /slow")
                    relay.process.send_signal(signal.SIGTERM)
                    wait_until_refused(relay.port)
                    upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                    assert client.recv(1000).endswith(b"done")
            counts = relay.stopped()
    assert (counts.seen, counts.kept) == (1, 1)


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with (
            relay_process("{}:{}".format(*listener.getsockname()), tmp_path / "log", environ=KEY) as relay,
            socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client,
        ):
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
            upstream, _ = listener.accept()
            with upstream:
                upstream.settimeout(10)
                assert upstream.recv(1000)
                relay.process.send_signal(signal.SIGINT)
                wait_until_refused(relay.port)
                counts = relay.stop()
                with pytest.raises(ConnectionResetError):
                    client.recv(1000)
    assert (counts.seen, sum(counts.incomplete.values())) == (1, 1)


def wait_until_refused(port: int) -> None:
    """Bounded by the refusal that must come: each try is one connection."""
    for _ in range(10_000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            return
    raise AssertionError("the relay still accepts")


def test_nothing_that_is_sampled_out_is_written(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", "--sample", "0", environ=KEY) as relay:
        curl(relay.port, "@/small.json", "@/empty.txt")
        counts = relay.stop()
    assert (counts.seen, counts.sampled_out) == (2, 2)
    with open_log(tmp_path / "log") as log:
        assert list(log.exchanges()) == []


def failing(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and message of a start that cannot work."""
    done = subprocess.run(
        understudy("capture", "relay", *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environ_of_tests(),
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


def environ_of_tests() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **KEY}


def test_a_port_in_use_is_one_line_and_exit_4(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = "{}:{}".format(*taken.getsockname())
        code, message = failing(tmp_path, "--listen", where, "--upstream", "127.0.0.1:1", "--log", "log")
    assert code == 4
    assert message == f"understudy: --listen: {where} is in use; stop what listens there or take another port\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--listen", "nowhere", "--upstream", "h:1"), "--listen: 'nowhere' is not HOST:PORT"),
        (("--listen", "127.0.0.1:0"), "--upstream is missing"),
        (("--listen", "203.0.113.1:80", "--upstream", "h:1"), "is not an address of this machine"),
        (("--listen", "127.0.0.1:1999", "--upstream", "127.0.0.1:1999"), "would call itself"),
        (("--listen", ":1999", "--upstream", "localhost:1999"), "would call itself"),
        (("--listen", "unix:a.sock", "--upstream", "unix:a.sock"), "would call itself"),
        (("--listen", "127.0.0.1:0", "--upstream", "h:1", "--sample", "1.5"), "--sample: "),
        (("--listen", "127.0.0.1:0", "--upstream", "h:1", "--session-key", "cooky:sid"), "cooky"),
        (("--listen", "127.0.0.1:0", "--upstream", "h:1", "--workers", "0"), "--workers: "),
    ],
)
def test_wrong_use_is_one_clear_message_and_exit_2(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    code, message = failing(tmp_path, *arguments, "--log", "log")
    assert code == 2
    assert expected in message
    assert len(message.strip().splitlines()) <= 2


def test_a_log_directory_that_cannot_be_written_is_refused_before_anything_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    code, message = failing(tmp_path, "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--log", "log")
    assert code in (2, 4)
    assert "log" in message
    assert len(message.strip().splitlines()) == 1


def test_an_unknown_key_of_the_configuration_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text('[relay]\nlisten_on = "127.0.0.1:0"\n')
    code, message = failing(tmp_path, "--upstream", "127.0.0.1:1", "--log", "log")
    assert code == 2
    assert "did you mean 'listen'?" in message


def test_the_configuration_file_can_name_everything(site: int, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text(f'[relay]\nlisten = "127.0.0.1:0"\nupstream = "127.0.0.1:{site}"\n')
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        assert curl(relay.port, "@/small.json") == b'{"name":"lamp","price":12}'
        assert relay.stop().kept == 1
