"""A process that redacts and writes beside the relay: the same records, the same counts, and no client ever waits."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.conservation import Conservation
from capture.errors import RunFailed
from capture.exchange import Exchange, Request, Response, Times
from capture.log.reader import open_log
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import CaptureConfig, LogConfig, RedactConfig
from capture.sources.relay.scribe import Scribe
from capture.sources.relay.scribe_wire import ScribeStart
from tests.support import nginx
from tests.support.redaction import JSON, S, answered, asked
from tests.support.relay import RelayProcess, relay_process
from tests.test_capture_admin import KEY, admin_of, get, parse
from tests.test_capture_redact import CASES
from tests.test_capture_relay_failures import ask, scrape_until

pytestmark = [pytest.mark.net]

CAPTURE = CaptureConfig(redaction_key="k" * 32)
SCRIBE = ("--scribe", "on", "--admin", "127.0.0.1:0", "--messages", "json")


def start(log: Path, **config: object) -> ScribeStart:
    return ScribeStart(str(log), LogConfig(compact=False, **config), {}, CAPTURE, RedactConfig(), "text")  # type: ignore[arg-type]


def exchange(number: int, request: Request, response: Response | None = None) -> Exchange:
    return Exchange("", f"s{number % 3}", "relay", 1.0, request, response, Times(number + 1))


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def scribe_of(relay: RelayProcess) -> int:
    """The pid of the relay's scribe, once there is one."""
    found: list[int] = []

    def look() -> bool:
        for task in Path(f"/proc/{relay.process.pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                if b"scribe_main" in Path(f"/proc/{word}/cmdline").read_bytes():
                    found.append(int(word))
        return bool(found)

    until(look, "the relay has no scribe")
    return found[0]


def written_by_a_scribe(log: Path, exchanges: list[Exchange]) -> list[Exchange]:
    scribe = Scribe(start(log))
    try:
        assert [scribe.put(one) for one in exchanges] == [None] * len(exchanges)
    finally:
        scribe.close()
    with open_log(log) as opened:
        return [msgspec.structs.replace(one, id="") for one in opened.exchanges()]


def test_every_kind_of_secret_is_redacted_to_the_byte_as_it_would_be_in_the_relay(tmp_path: Path) -> None:
    exchanges = [exchange(n, request, response) for n, (_, request, response) in enumerate(CASES.values())]
    redact = Redactor(RedactConfig(), Pseudonyms(b"k" * 32)).redact
    expected = [redact(one) for one in exchanges]
    assert expected != exchanges
    assert written_by_a_scribe(tmp_path / "log", exchanges) == expected


WORD = st.sampled_from(["token", "Tr0ub4dor-9f8e7d6c", "a@b.example", "5eed" * 8, "4111111111111111", "x", "new", S])
VALUES = st.recursive(
    WORD | st.integers(-5, 10**13) | st.none() | st.booleans() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=8,
)
SENT = st.builds(
    lambda target, name, value, body: asked(
        f"/{target}?q={target}", (name, value), JSON, body=msgspec.json.encode(body).decode()
    ),
    WORD,
    st.sampled_from(["Authorization", "X-Request-Id", "Cookie", "X-Api-Key", "Referer"]),
    WORD,
    VALUES,
)
ANSWERED = st.builds(lambda body: answered(JSON, body=msgspec.json.encode(body).decode()), VALUES)


@given(st.lists(st.tuples(SENT, ANSWERED), min_size=20, max_size=60))
@settings(max_examples=3, deadline=None)
def test_whatever_is_handed_over_comes_out_as_the_redactor_makes_it(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[Request, Response]]
) -> None:
    exchanges = [exchange(n, request, response) for n, (request, response) in enumerate(pairs)]
    redact = Redactor(RedactConfig(), Pseudonyms(b"k" * 32)).redact
    expected = [redact(one) for one in exchanges]
    assert written_by_a_scribe(tmp_path_factory.mktemp("scribe") / "log", exchanges) == expected


def test_a_log_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed, match="cannot be written"):
        Scribe(start(tmp_path / "file"))


def test_what_finds_no_room_is_refused_and_what_was_accepted_is_written_when_the_scribe_goes_on(tmp_path: Path) -> None:
    scribe = Scribe(start(tmp_path / "log", queue_records=50))
    try:
        pid = scribe_pid(scribe)
        os.kill(pid, signal.SIGSTOP)
        reasons = [scribe.put(exchange(n, asked())) for n in range(80)]
        assert reasons == [None] * 50 + ["queue_full"] * 30
        assert scribe.stats().queued == 50
        os.kill(pid, signal.SIGCONT)
        until(lambda: scribe.stats().queued == 0, "it did not go on")
        assert scribe.stats().written == 50
    finally:
        scribe.close()
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 50


def scribe_died(scribe: Scribe) -> bool:
    counts = Conservation()
    scribe.settle(counts)
    return counts.shed["scribe_died"] > 0


def scribe_pid(scribe: Scribe) -> int:
    assert scribe._life is not None
    return scribe._life.process.pid


def test_bytes_that_wait_are_bounded_too(tmp_path: Path) -> None:
    scribe = Scribe(start(tmp_path / "log", queue_bytes=1_000_000))
    try:
        os.kill(scribe_pid(scribe), signal.SIGSTOP)
        body = "x" * 400_000
        assert [scribe.put(exchange(n, asked(body=body))) for n in range(4)] == [None, None, "queue_full", "queue_full"]
        os.kill(scribe_pid(scribe), signal.SIGCONT)
    finally:
        scribe.close()


def test_what_cannot_be_said_costs_that_record_alone(tmp_path: Path) -> None:
    scribe = Scribe(start(tmp_path / "log"))
    try:
        assert scribe.put(exchange(1, asked("/\udc80"))) == "unencodable"
        assert scribe.put(exchange(2, asked("/ok"))) is None
    finally:
        scribe.close()
    with open_log(tmp_path / "log") as log:
        assert [one.request.target for one in log.exchanges()] == ["/ok"]
    assert scribe.put(exchange(3, asked())) == "closed"


def test_a_scribe_that_was_killed_is_counted_and_started_again(tmp_path: Path) -> None:
    counts = Conservation()
    scribe = Scribe(start(tmp_path / "log"))
    scribe.sync_conservation(lambda: counts)
    try:
        for number in range(2):
            assert scribe.put(exchange(number, asked())) is None
            counts.seen += 1
            counts.kept += 1
        until(lambda: scribe.stats().queued == 0, "nothing was written")
        pid = scribe_pid(scribe)
        os.kill(pid, signal.SIGSTOP)
        for number in range(2, 5):
            assert scribe.put(exchange(number, asked())) is None
            counts.seen += 1
            counts.kept += 1
        os.kill(pid, signal.SIGKILL)
        until(lambda: scribe_died(scribe), "nobody noticed")
        until(lambda: scribe.put(exchange(5, asked("/after"))) is None, "it never came back")
        counts.seen += 1
        counts.kept += 1
    finally:
        scribe.close(counts)
    settled = Conservation.from_dict(counts.as_dict())
    scribe.settle(settled)
    assert settled.balanced()
    with open_log(tmp_path / "log") as log:
        kept = list(log.exchanges())
    assert len(kept) == settled.kept
    assert settled.kept + settled.shed["scribe_died"] == 6
    assert settled.shed["scribe_died"] >= 3
    assert kept[-1].request.target == "/after"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "nginx" / "www").mkdir(parents=True)
    (tmp_path / "nginx" / "www" / "a.txt").write_text("hello")
    with nginx.serve(tmp_path / "nginx") as port:
        yield port


@pytest.mark.slow
def test_when_the_scribe_is_killed_the_clients_see_nothing_and_the_counts_add_up(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, environ=KEY) as relay:
        admin = admin_of(relay)
        ask(relay, 40)
        scrape_until(admin, lambda s: s["understudy_log_records_total"] == 40 and s["understudy_queue_records"] == 0)
        os.kill(scribe_of(relay), signal.SIGKILL)
        ask(relay, 40)
        scrape_until(admin, lambda s: s["understudy_log_failing"] == 0 and s["understudy_queue_records"] == 0)
        ask(relay, 40)
        counts = relay.stop()
    assert counts.seen == 120
    assert counts.kept >= 40
    assert counts.kept + counts.shed["scribe_died"] == 120
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == counts.kept


@pytest.mark.slow
def test_when_the_relay_is_killed_the_scribe_writes_what_it_was_given_and_ends(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, environ=KEY) as relay:
        admin = admin_of(relay)
        scribe = scribe_of(relay)
        ask(relay, 40)
        scrape_until(admin, lambda s: s["understudy_log_records_total"] == 40)
        relay.process.send_signal(signal.SIGKILL)
        relay.process.wait(20)
        until(lambda: not _lives(scribe), "the scribe outlived its relay")
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 40


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_signals_for_the_whole_group_end_the_relay_first_and_nothing_is_lost(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, environ=KEY) as relay:
        scribe = scribe_of(relay)
        ask(relay, 40)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(scribe, number)
        ask(relay, 40)
        counts = relay.stop()
    assert counts.kept == 80


@pytest.mark.slow
def test_each_worker_has_a_scribe_and_their_counts_are_one(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, "--workers", "2", environ=KEY) as relay:
        ask(relay, 40, connections=8)
        counts = relay.stop()
    assert counts.kept == 40
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 40
        assert log.conservation().line() == counts.line()


@pytest.mark.slow
def test_memory_and_processor_time_of_the_scribe_count_as_the_relays(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, environ=KEY) as relay:
        admin = admin_of(relay)
        ask(relay, 40)
        scrape_until(admin, lambda s: s["understudy_log_records_total"] == 40)
        samples = parse(get(f"{admin}/metrics")[1])
        own = int(Path(f"/proc/{relay.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert samples["understudy_resident_memory_bytes"] > own + 10_000_000
        assert samples["understudy_capture_cpu_seconds_total"] > 0.05  # what it takes to start, if nothing else
        relay.stop()


@pytest.mark.slow
def test_a_body_that_is_slow_to_redact_delays_no_other_client(site: int, tmp_path: Path) -> None:
    (tmp_path / "nginx" / "www" / "slow.json").write_text(
        "[" + '{"email":"a@b.example","token":"x1y2"},' * 24_000 + "1]"
    )
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *SCRIBE, environ=KEY) as relay:
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=60)
        try:
            connection.request("GET", "/slow.json")
            assert len(connection.getresponse().read()) > 900_000
        finally:
            connection.close()
        ask(relay, 20)
        counts = relay.stop()
    assert counts.kept == 21
    with open_log(tmp_path / "log") as log:
        (slow,) = [one for one in log.exchanges() if one.request.target == "/slow.json"]
    assert slow.response is not None
    assert slow.response.body is not None
    assert b"a@b.example" not in slow.response.body
