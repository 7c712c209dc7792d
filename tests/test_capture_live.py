"""What may change while a capture runs: as one, or not at all, and the log says what held from when on."""

from __future__ import annotations

import base64
import dataclasses
import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capture.errors import UsageError
from capture.exchange import Exchange, Request, Response, Times
from capture.guard import Guard
from capture.live import Change, Live, changed_sampling, described
from capture.log.reader import open_log
from capture.log.stat_report import stat_document
from capture.log.statistics import LogStatistics
from capture.pipeline import pipeline_from_config
from capture.settings import CaptureConfig, GuardConfig, RedactConfig
from tests.support import nginx
from tests.support.accounts import assert_conserved
from tests.support.relay import RelayProcess, relay_process, understudy
from tests.test_capture_admin import admin_of, get

CAPTURE = CaptureConfig(redaction_key="00112233445566778899aabbccddeeff", rare_factor=1.0)
KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "00112233445566778899aabbccddeeff"}


class Segments:
    """What the log was told to say in its next header."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def renew(self, meta: dict[str, Any]) -> None:
        self.said.append(meta)


class Capturing:
    """A pipeline, and what it kept."""

    def __init__(self) -> None:
        self.kept: list[Exchange] = []
        self.guard = Guard(GuardConfig())
        self.log = Segments()
        self.start = Change(CAPTURE, RedactConfig(), GuardConfig(), 1)
        self.pipeline = pipeline_from_config(CAPTURE, RedactConfig(), self._keep)
        self.live = Live(self.start, self.pipeline, self.guard, self.log, {"source": "test"})

    def _keep(self, exchange: Exchange) -> None:
        self.kept.append(exchange)

    def ask(self, target: str = "/", **headers: str) -> Exchange | None:
        before = len(self.kept)
        request = Request("GET", target, "HTTP/1.1", tuple(headers.items()))
        decision = self.pipeline.begin(request, "10.0.0.1", 5)
        if decision is not None:
            response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), b'{"nick":"fox"}', 14)
            self.pipeline.finish(Exchange("", "", "test", 1, request, response, Times(5, 6, 7, 8)), decision)
        assert_conserved(self.pipeline.counts.line())
        return self.kept[-1] if len(self.kept) > before else None


def test_a_change_holds_from_the_next_request_on_and_the_next_header_says_so() -> None:
    running = Capturing()
    assert running.ask() is not None
    none = dataclasses.replace(running.start, capture=dataclasses.replace(CAPTURE, sample=0.0), at_ns=9, by="admin")
    running.live.apply(none)
    assert running.ask() is None
    assert running.live.ratio == 0
    [said] = running.log.said
    assert said["source"] == "test"
    assert said["sampling"]["sample"] == 0.0
    assert (said["since_ns"], said["changed_by"]) == (9, "admin")


def test_new_redaction_rules_hold_and_pseudonyms_stay_the_same_under_one_key() -> None:
    running = Capturing()
    before = running.ask("/a?token=abcdef123456")
    running.live.apply(dataclasses.replace(running.start, redact=RedactConfig(fields=("nick",)), by="sighup"))
    after = running.ask("/a?token=abcdef123456")
    assert before is not None
    assert after is not None
    assert before.response is not None
    assert after.response is not None
    assert before.response.body == b'{"nick":"fox"}'
    assert b"fox" not in (after.response.body or b"")
    assert after.request.target == before.request.target
    assert after.session == before.session
    assert running.log.said[0]["redaction"]["rules"] != described(running.start)["redaction"]["rules"]


def test_another_key_makes_other_pseudonyms_and_is_told_apart_in_the_header() -> None:
    running = Capturing()
    before = running.ask("/a?token=abcdef123456")
    other = dataclasses.replace(CAPTURE, redaction_key="another key of more than sixteen bytes")
    running.live.apply(dataclasses.replace(running.start, capture=other))
    after = running.ask("/a?token=abcdef123456")
    assert before is not None
    assert after is not None
    assert after.request.target != before.request.target
    assert after.session != before.session
    assert running.log.said[0]["redaction"]["key"] != described(running.start)["redaction"]["key"]
    assert "another key" not in repr(running.log.said)


def test_a_change_that_cannot_be_used_changes_nothing() -> None:
    running = Capturing()
    wrong = Change(
        dataclasses.replace(CAPTURE, sample=0.0), RedactConfig(keep=("nonsense:x",)), GuardConfig(cooldown_s=1.0), 9
    )
    with pytest.raises(UsageError):
        running.live.apply(wrong)
    assert running.ask() is not None
    assert running.guard.limits == GuardConfig()
    assert (running.live.now, running.log.said) == (running.start, [])


def test_where_redaction_happens_elsewhere_it_is_told_there_before_the_next_header_and_not_done_here() -> None:
    running = Capturing()
    told: list[object] = []
    live = Live(
        running.start,
        running.pipeline,
        running.guard,
        running.log,
        redact_elsewhere=lambda capture, redact: told.append((capture, redact, list(running.log.said))),
    )
    rules = RedactConfig(fields=("nick",))
    live.apply(dataclasses.replace(running.start, redact=rules))
    assert told == [(CAPTURE, rules, [])]
    assert len(running.log.said) == 1
    kept = running.ask()
    assert kept is not None
    assert kept.redacted == ()
    with pytest.raises(UsageError):
        live.apply(dataclasses.replace(running.start, redact=RedactConfig(keep=("nonsense:x",))))
    assert len(told) == 1


def test_budgets_alone_begin_no_segment() -> None:
    running = Capturing()
    running.live.apply(dataclasses.replace(running.start, guard=GuardConfig(cpu_share_max=0.1)))
    assert running.guard.limits.cpu_share_max == 0.1
    assert running.log.said == []


def test_what_the_guard_leaves_stays_left_after_a_change() -> None:
    running = Capturing()
    running.guard.factor = 0.5
    running.live.apply(dataclasses.replace(running.start, capture=dataclasses.replace(CAPTURE, sample=0.5)))
    assert running.pipeline.sampler.probability == 0.25
    assert running.live.ratio == 0.25


def test_another_session_key_is_followed() -> None:
    running = Capturing()
    changed = dataclasses.replace(running.start, capture=dataclasses.replace(CAPTURE, session_key=("header:X-User",)))
    running.live.apply(changed)
    sessions = {exchange.session for name in ("ann", "bob") if (exchange := running.ask(**{"X-User": name}))}
    assert len(sessions) == 2


def test_the_floor_of_rare_routes_can_be_changed() -> None:
    running = Capturing()
    thin = dataclasses.replace(CAPTURE, sample=0.001, rare_factor=1000.0)
    running.live.apply(dataclasses.replace(running.start, capture=thin))
    assert running.pipeline.connection_kept("10.0.0.1")
    running.live.apply(dataclasses.replace(running.start, capture=dataclasses.replace(thin, rare_factor=1.0)))
    assert not running.pipeline.connection_kept("10.0.0.1")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"sampel": 0.5}, "did you mean 'sample'"),
        ({"body_bytes_max": 1}, "unknown key"),
        ({}, "nothing to change"),
        ({"sample": 1.5}, "from 0 to 1"),
        ({"sample": "0.5"}, "expected a number"),
        ({"sample": True}, "expected a number"),
        ({"session_key": ["cokie:sid"]}, "not a session key"),
        ({"rare_factor": 0}, "rare_factor"),
    ],
)
def test_sampling_that_cannot_be_used_is_refused(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        changed_sampling(CAPTURE, wanted)


def test_what_is_not_named_in_a_change_stays() -> None:
    assert changed_sampling(CAPTURE, {"sample": 0.25}) == dataclasses.replace(CAPTURE, sample=0.25)


# ---- the running relay


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    www = tmp_path / "nginx" / "www"
    www.mkdir(parents=True)
    (www / "user.json").write_bytes(b'{"nickname":"redfox77"}')
    with nginx.serve(tmp_path / "nginx") as port:
        yield port


def put(url: str, body: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, body.encode(), headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def read_until(relay: RelayProcess, text: str) -> str:
    assert relay.process.stderr is not None
    for line in relay.process.stderr:
        relay.err += line
        if text in line:
            return line
    raise AssertionError(relay.err)


def ask(relay: RelayProcess) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{relay.port}/user.json", timeout=10) as answer:
        assert answer.read() == b'{"nickname":"redfox77"}'


def bodies(log: Path) -> list[bytes]:
    with open_log(log) as opened:
        return [exchange.response.body or b"" for exchange in opened.exchanges() if exchange.response is not None]


def settings_in(log: Path) -> list[dict[str, Any]]:
    with open_log(log) as opened:
        found: list[dict[str, Any]] = stat_document(opened, LogStatistics())["settings"]
        return found


@pytest.mark.net
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_put_sampling_changes_every_worker_and_is_in_the_log(site: int, tmp_path: Path, workers: int) -> None:
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json", "--workers", str(workers))
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments, environ=KEY) as relay:
        sampling = f"{admin_of(relay)}/sampling"
        status, text = get(sampling)
        holds = json.loads(text)
        assert (status, holds["sample"], holds["changed_by"]) == (200, 1.0, "start")
        for _ in range(6):
            ask(relay)
        status, text = put(sampling, '{"sample": 0, "session_key": ["cookie:sid", "client"]}')
        holds = json.loads(text)
        assert (status, holds["workers"], holds["workers_following"]) == (200, workers, workers)
        assert (holds["sample"], holds["ratio"], holds["changed_by"]) == (0.0, 0.0, "admin")
        for _ in range(6):
            ask(relay)
        assert json.loads(get(sampling)[1]) == holds
        counts = relay.stop()
    assert (counts.kept, counts.sampled_out) == (6, 6)
    before, after = settings_in(tmp_path / "log")
    assert (before["sampling"]["sample"], before["changed_by"]) == (1.0, "start")
    assert (after["sampling"]["sample"], after["changed_by"]) == (0.0, "admin")
    assert after["sampling"]["session_key"] == ["cookie:sid", "client"]
    assert after["since"] == holds["since"]
    with open_log(tmp_path / "log") as log:
        assert log.conservation().as_dict() == counts.as_dict()


@pytest.mark.net
def test_what_cannot_be_put_is_refused_with_the_reason_and_nothing_changes(site: int, tmp_path: Path) -> None:
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments, environ=KEY) as relay:
        admin = admin_of(relay)
        assert put(f"{admin}/sampling", '{"sample": 2}')[0] == 400
        assert put(f"{admin}/sampling", "{")[0] == 400
        assert put(f"{admin}/sampling", "[" * 4000)[0] == 400
        assert put(f"{admin}/sampling", '{"sample": 0.5}' + " " * 5000)[0] == 413
        assert put(f"{admin}/sampling", '{"sample": 0.5}', Origin="http://127.0.0.1")[0] == 403
        assert put(f"{admin}/metrics", '{"sample": 0.5}')[0] == 405
        assert "did you mean 'sample'" in put(f"{admin}/sampling", '{"sampel": 0.5}')[1]
        assert json.loads(get(f"{admin}/sampling")[1])["sample"] == 1.0
        relay.stop()
    assert len(settings_in(tmp_path / "log")) == 1


@pytest.mark.net
@pytest.mark.parametrize(
    ("workers", "scribe"),
    [(1, "off"), *[pytest.param(*values, marks=pytest.mark.slow) for values in ((2, "off"), (1, "on"), (2, "on"))]],
)
def test_sighup_reads_rules_sampling_and_key_again_and_a_broken_file_keeps_the_old(
    site: int, tmp_path: Path, workers: int, scribe: str
) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("[capture]\nsample = 1.0\n")
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json", "--workers", str(workers), "--config", str(config))
    arguments += ("--scribe", scribe)
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments, environ=KEY) as relay:
        admin = admin_of(relay)
        ask(relay)
        config.write_text('[redact]\nfields = ["nickname"]\n[guard]\ncpu_share_max = 0.5\n')
        relay.process.send_signal(signal.SIGHUP)
        for _ in range(workers):
            read_until(relay, "configuration reloaded")
        ask(relay)
        config.write_text('[redact]\nfields = ["nickname"]\nkeep = ["json:$.nickname"\n')
        relay.process.send_signal(signal.SIGHUP)
        assert "not valid TOML" in read_until(relay, "not reloaded")
        assert get(f"{admin}/healthz") == (200, "degraded: configuration not reloaded\n")
        assert "\nunderstudy_config_reload_failed 1\n" in get(f"{admin}/metrics")[1]
        config.write_text('[redact]\nfields = ["nickname"]\nkeep = ["jsn:$.nickname"]\n[capture]\nsample = 0\n')
        relay.process.send_signal(signal.SIGHUP)
        assert "did you mean 'json'" in read_until(relay, "not reloaded")
        ask(relay)
        config.write_text('[redact]\nfields = ["nickname"]\n')
        relay.process.send_signal(signal.SIGHUP)
        for _ in range(workers):
            read_until(relay, "configuration reloaded")
        assert get(f"{admin}/healthz") == (200, "ok\n")
        counts = relay.stop()
    assert counts.kept == 3
    kept = bodies(tmp_path / "log")
    assert sum(body == b'{"nickname":"redfox77"}' for body in kept) == 1
    assert len(set(kept)) == 2
    assert [held["changed_by"] for held in settings_in(tmp_path / "log")] == ["start", "sighup"]


@pytest.mark.net
def test_the_key_file_is_read_again_and_an_empty_one_keeps_the_old_key(site: int, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a" * 32)
    arguments = ("--redaction-key-file", str(key), "--messages", "json", "--session-key", "client")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments) as relay:
        ask(relay)
        key.write_text("")
        relay.process.send_signal(signal.SIGHUP)
        assert "the redaction key is empty" in read_until(relay, "not reloaded")
        ask(relay)
        key.write_text("b" * 32)
        relay.process.send_signal(signal.SIGHUP)
        read_until(relay, "configuration reloaded")
        ask(relay)
        relay.stop()
    with open_log(tmp_path / "log") as log:
        first, second, third = (exchange.session for exchange in log.exchanges())
    assert first == second != third


@pytest.mark.net
def test_the_mirror_reads_its_rules_again_too(tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("")
    command = understudy("capture", "mirror", "--listen", "127.0.0.1:0", "--log", str(tmp_path / "log"))
    with subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            port = process.stdout.readline().rpartition(":")[2].strip()
            basic = base64.b64encode(b"user:pass").decode()

            def mirrored() -> None:
                request = urllib.request.Request(
                    f"http://127.0.0.1:{port}/?nickname=redfox77", headers={"Authorization": f"Basic {basic}"}
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert answer.status == 204

            mirrored()
            config.write_text('[redact]\nfields = ["nickname"]\n')
            process.send_signal(signal.SIGHUP)
            while "configuration reloaded" not in (line := process.stderr.readline()):
                assert line
            mirrored()
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert assert_conserved(out.strip()).kept == 2
    with open_log(tmp_path / "log") as log:
        targets = sorted(exchange.request.target for exchange in log.exchanges())
    assert sum("redfox77" in target for target in targets) == 1


@pytest.mark.net
def test_an_admin_address_that_is_a_unix_socket_takes_changes_and_is_gone_at_the_end(site: int, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    arguments = ("--admin", f"unix:{path}", "--messages", "json")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments, environ=KEY) as relay:
        assert json.loads(read_until(relay, "admin address"))["listen"] == f"unix:{path}"
        body = b'{"sample": 0}'
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"PUT /sampling HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200 OK")
        ask(relay)
        assert relay.stop().sampled_out == 1
    assert not path.exists()
