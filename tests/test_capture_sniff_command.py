"""`capture sniff` as it is called: files, a live loopback interface, and wrong use."""

from __future__ import annotations

import http.client
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from capture.conservation import Conservation
from capture.exchange import Exchange
from capture.log.reader import open_log
from capture.sources.packets.ring import filter_for, is_chosen, kernel_filter, threshold
from tests.support.accounts import assert_conserved
from tests.support.packets import Talk
from tests.support.torture import write_pcap

ROOT = Path(__file__).parents[1]
KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "0123456789abcdef" * 2}
COMMAND = [sys.executable, "-m", "understudy", "capture", "sniff"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, env=os.environ | KEY, capture_output=True, text=True, timeout=60)


def exchanges_of(log: Path) -> list[Exchange]:
    with open_log(log) as opened:
        return list(opened.exchanges())


def may_sniff() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError):
        return False
    return True


live = pytest.mark.skipif(not may_sniff(), reason="needs the capability CAP_NET_RAW")


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"x" * int(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def service(kind: type[ThreadingHTTPServer] = ThreadingHTTPServer) -> Iterator[int]:
    with kind(("::1" if kind is _Server6 else "127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def sniffing(log: Path, port: int, *more: str, stderr: int | None = None) -> Iterator[subprocess.Popen[str]]:
    words = [*COMMAND, "--interface", "lo", "--port", str(port), "--log", str(log), *more]
    process = subprocess.Popen(words, cwd=ROOT, env=os.environ | KEY, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(30), "it never said that it listens"
        assert process.stdout.readline() == "sniffing on lo\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def stop(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return out.strip()


def test_files_are_captured_into_a_log(corpora: Path, tmp_path: Path) -> None:
    files = [corpora / "pcap/simple-get.pcap", corpora / "pcap/pipelined-gzip.pcap"]
    done = run("--pcap", *files, "--log", tmp_path / "log", "--redact", "off")
    assert (done.returncode, done.stderr) == (0, "")
    counts = assert_conserved(done.stdout.strip())
    assert (counts.seen, counts.kept) == (6, 6)
    exchanges = exchanges_of(tmp_path / "log")
    assert len(exchanges) == 6
    assert {exchange.source for exchange in exchanges} == {"sniff"}


def test_captures_of_one_direction_each_are_read_as_one_and_without_that_it_is_advised(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    talk = Talk().open().client(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").server(answer).close()
    files = [tmp_path / "forth.pcap", tmp_path / "back.pcap"]
    for file, way in zip(files, (talk.forth, talk.back), strict=True):
        write_pcap(file, [segment for segment in talk.segments if segment.flow == way])
    done = run("--pcap", *files, "--log", tmp_path / "apart", "--redact", "off")
    assert done.returncode == 0
    assert "then --merge reads them as one" in done.stderr
    assert assert_conserved(done.stdout.strip()).kept == 0
    done = run("--pcap", *files, "--merge", "--log", tmp_path / "log", "--redact", "off")
    assert (done.returncode, done.stderr) == (0, "")
    assert assert_conserved(done.stdout.strip()).kept == 1
    (exchange,) = exchanges_of(tmp_path / "log")
    assert exchange.response is not None
    assert exchange.response.body == b"ok"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give either --interface NAME with --port N, or --pcap FILE"),
        (["--interface", "lo"], 2, "give --port N"),
        (["--interface", "lo", "--port", "80", "--pcap", "x"], 2, "give either"),
        (["--interface", "nope0", "--port", "80"], 2, "no such interface; there are: "),
        (["--pcap", "README.md"], 2, "README.md: not a pcap or pcapng capture file"),
        (["--pcap", "none.pcap"], 2, "none.pcap: cannot be read: No such file or directory"),
        (["--pcap", "x", "--workers", "2"], 2, "--workers and --sample-connections are for --interface"),
        (["--interface", "lo", "--port", "0"], 2, "--port"),
        (["--interface", "lo", "--port", "80", "--merge"], 2, "--merge is for the files of --pcap"),
    ],
)
def test_wrong_use_gets_one_clear_line(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = run(*arguments, "--log", tmp_path / "log")
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@live
@pytest.mark.net
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_live_interface_gives_every_exchange_once(tmp_path: Path, workers: str) -> None:
    with service() as port, sniffing(tmp_path / "log", port, "--workers", workers, "--redact", "off") as process:
        for number in range(5):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            for size in (0, 10, 1 << 20):
                client.request("GET", f"/{number}/{size}")
                assert len(client.getresponse().read()) == size
            client.request("POST", "/p/3", body=b"z" * 100_000)
            assert client.getresponse().read() == b"xxx"
            client.close()
        counts = assert_conserved(stop(process))
    assert (counts.seen, counts.kept, counts.opaque) == (20, 20, 0)
    exchanges = exchanges_of(tmp_path / "log")
    assert sorted(e.request.body_bytes for e in exchanges) == [0] * 15 + [100_000] * 5
    assert sorted(e.response.body_bytes for e in exchanges if e.response) == sorted([0, 10, 3, 1 << 20] * 5)
    assert {e.server for e in exchanges} == {f"127.0.0.1:{port}"}


@live
@pytest.mark.net
def test_sniffers_whose_first_process_was_killed_seal_their_log_and_end(tmp_path: Path) -> None:
    with service() as port, sniffing(tmp_path / "log", port, "--workers", "2", stderr=subprocess.PIPE) as process:
        for _ in range(8):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/10")
            assert len(client.getresponse().read()) == 10
            client.close()
        process.kill()
        out, err = process.communicate(timeout=30)  # the pipes end with the last process that holds them
    assert out == ""
    assert err.count("ended because the first process was killed; the log is whole\n") == 2
    assert len(exchanges_of(tmp_path / "log")) == 8
    assert not list((tmp_path / "log").glob("*.open")), "every segment is sealed"


@live
@pytest.mark.net
@pytest.mark.parametrize("share", ["1.0", "0.5"])
def test_ipv6_is_captured_live(tmp_path: Path, share: str) -> None:
    chosen = 0
    with service(_Server6) as port, sniffing(tmp_path / "log", port, "--sample-connections", share) as process:
        for _ in range(10):
            client = http.client.HTTPConnection("::1", port, timeout=10)
            client.request("GET", "/100000")
            assert client.sock is not None
            chosen += is_chosen(client.sock.getsockname()[1], float(share))
            assert len(client.getresponse().read()) == 100_000
            client.close()
        counts = assert_conserved(stop(process))
    assert (counts.seen, counts.kept) == (10, chosen)
    assert {e.server for e in exchanges_of(tmp_path / "log")} <= {f"[::1]:{port}"}


@live
@pytest.mark.net
def test_connections_that_are_not_chosen_are_counted_and_the_others_say_their_share(tmp_path: Path) -> None:
    chosen = 0
    with service() as port, sniffing(tmp_path / "log", port, "--sample-connections", "0.3") as process:
        for _ in range(40):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.connect()
            assert client.sock is not None
            chosen += is_chosen(client.sock.getsockname()[1], 0.3)
            for _ in range(2):
                client.request("GET", "/5")
                client.getresponse().read()
            client.close()
        counts = assert_conserved(stop(process))
    assert (counts.seen, counts.kept, counts.sampled_out) == (80, 2 * chosen, 80 - 2 * chosen)
    assert {e.kept_with for e in exchanges_of(tmp_path / "log")} <= {threshold(0.3) / 65_536}


@live
@pytest.mark.net
def test_a_sniffer_that_is_kept_from_the_processor_for_a_while_loses_nothing(tmp_path: Path) -> None:
    with service() as port, sniffing(tmp_path / "log", port, "--ring-mb", "64") as process:
        process.send_signal(signal.SIGSTOP)
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(50):  # one by one, as the kernel closes a block of the ring some time after its first packet
            client.request("GET", "/5")
            client.getresponse().read()
            time.sleep(0.014)
        client.close()
        process.send_signal(signal.SIGCONT)
        counts = assert_conserved(stop(process))
    assert (counts.seen, counts.kept) == (50, 50)


@live
@pytest.mark.net
@pytest.mark.parametrize("share", ["1.0", "0.3"])
def test_what_the_kernel_dropped_is_counted_in_exchanges_not_in_packets(tmp_path: Path, share: str) -> None:
    # Of exchanges in a row without any packet the sizes tell how many they were, if the kernel drops in one go. On a
    # busy machine it may drop twice, and then fewer are known; never more.
    for attempt in range(6):
        counts, served = dropped_in_the_kernel(tmp_path / f"log{attempt}", share)
        assert counts.kept < counts.seen <= served
        if counts.seen == served:
            return
    raise AssertionError(f"{served} were served, and {counts.line()} were counted")


def dropped_in_the_kernel(log: Path, share: str) -> tuple[Conservation, int]:
    """What a sniffer counts that stood still meanwhile, and how many exchanges there were."""
    served = 0
    with (
        service() as port,
        sniffing(log, port, "--ring-mb", "1", "--sample-connections", share, stderr=subprocess.PIPE) as process,
    ):
        clients = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(4)]

        def ask(times: int) -> int:
            for _ in range(times):
                for client in clients:
                    client.request("GET", "/100000", headers={"X-Fill": "f" * 20_000})
                    assert len(client.getresponse().read()) == 100_000
            return times * len(clients)

        served += ask(2)
        process.send_signal(signal.SIGSTOP)
        served += ask(20)
        process.send_signal(signal.SIGCONT)
        wait_until_read(process)
        served += ask(2)
        for client in clients:
            client.close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert "the kernel dropped" in err
    assert "kernel_drop" not in out
    return assert_conserved(out.strip()), served


def wait_until_read(process: subprocess.Popen[str]) -> None:
    """Until the sniffer, which was stopped, sleeps again because its ring is empty: at ten looks, in bounded time."""
    end = time.monotonic() + 30
    status = Path(f"/proc/{process.pid}/stat")
    asleep = 0
    while asleep < 10:
        asleep = asleep + 1 if status.read_text().rpartition(")")[2].split()[0] == "S" else 0
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_share_of_ports_that_is_chosen_is_the_probability() -> None:
    for share in (0.01, 0.1, 0.5):
        chosen = sum(is_chosen(port, share) for port in range(65_536))
        assert chosen == threshold(share)
        assert abs(chosen / 65_536 - share) < 0.0001
    assert not [port for port in range(65_536) if not is_chosen(port, 1.0)]


def test_the_filter_compiles_for_every_link() -> None:
    for link_type in (1, 101):
        for share in (1.0, 0.1):
            instructions = kernel_filter(filter_for([80, 8080], share), link_type)
            assert len(instructions) % 8 == 0
            assert len(instructions) > 80
