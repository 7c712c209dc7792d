"""Hooks: a person's function signs the requests to one build, and where it fails the run says so."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import time
from pathlib import Path

import pytest

from capture.clock import Clock
from capture.errors import UsageError
from replay.clients.base import Endpoint, Limits
from replay.clients.wire import WireClient
from replay.hook import HookFailed, load_hook, resolved_hook, signed
from replay.run import open_run
from replay.stage import Stage
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get
from tests.test_replay_commands import run_main

HMAC = """
import hashlib, hmac

def sign(method, target, headers, body):
    text = "\\n".join([method, target, dict((n.lower(), v) for n, v in headers)["host"]]).encode() + b"\\n" + body
    return {"authorization": "HMAC " + hmac.new(b"key", text, hashlib.sha256).hexdigest(), "X-Old-Signature": None}
"""

SIGV4 = '''
import datetime, hashlib, hmac

def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

def sign(method, target, headers, body):
    """AWS Signature Version 4 of a request without a query."""
    host = next(value for name, value in headers if name.lower() == "host")
    digest = hashlib.sha256(body).hexdigest()
    stamp = "20261127T010203Z"
    names = "host;x-amz-content-sha256;x-amz-date"
    fields = f"host:{host}\\nx-amz-content-sha256:{digest}\\nx-amz-date:{stamp}\\n"
    canonical = "\\n".join([method, target, "", fields, names, digest])
    scope = f"{stamp[:8]}/eu-central-1/execute-api/aws4_request"
    text = f"AWS4-HMAC-SHA256\\n{stamp}\\n{scope}\\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4secret"
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signature}",
        "X-Amz-Date": stamp,
        "X-Amz-Content-Sha256": digest,
    }
'''


@pytest.fixture
def log(tmp_path: Path) -> Path:
    headers = (("Authorization", "HMAC recorded"), ("X-Old-Signature", "recorded"), ("Content-Type", "text/plain"))
    recorded = [
        exchange(0, get("/ok?a=1", *headers)),
        exchange(1, get("/ok", *headers, method="POST", body=b"hello")),
    ]
    return write_log(tmp_path / "log", recorded)


def config(tmp_path: Path, text: str, source: str, builds: tuple[str, ...] = ("candidate",)) -> Path:
    (tmp_path / "signing.py").write_text(source)
    path = tmp_path / "u.toml"
    path.write_text("".join(f'[build.{name}]\nhook = "{text}"\n' for name in builds))
    return path


@pytest.mark.net
@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_request_to_that_build_is_signed_after_everything_else_was_done_to_it(
    log: Path, tmp_path: Path, workers: str
) -> None:
    settings = config(tmp_path, "signing.py:sign", HMAC)
    with serving() as current, serving() as candidate:
        code = run_main(
            "replay", log, "--current", current.url, "--candidate", candidate.url, "--run", tmp_path / "run",
            "--allow-writes", "--workers", workers, "--config", settings,
        )  # fmt: skip
        assert code == 0
        assert all(b"Authorization: HMAC recorded\r\n" in request for request in current.requests)
        for request, (line, body) in zip(
            sorted(candidate.requests), [("GET\n/ok?a=1", b""), ("POST\n/ok", b"hello")], strict=True
        ):
            text = f"{line}\n127.0.0.1:{candidate.port}\n".encode() + body
            expected = hmac.new(b"key", text, hashlib.sha256).hexdigest()
            assert request.count(b"Authorization:") == 1
            assert f"Authorization: HMAC {expected}\r\n".encode() in request
            assert b"X-Old-Signature" not in request
    run = open_run(tmp_path / "run")
    assert run.manifest["hooks"] == {"candidate": f"{tmp_path / 'signing.py'}:sign"}
    outcome = next(iter(run.performances())).outcome_of("candidate")
    assert outcome is not None
    assert [(b.place, b.origin) for b in outcome.bindings] == [
        ("header:authorization", "hook:authorization"),
        ("header:x-old-signature", "hook:X-Old-Signature"),
    ]


def test_a_published_signing_scheme_can_be_written_as_a_hook(tmp_path: Path) -> None:
    """The signature was made by botocore 1.44.5 (SigV4Auth) for the same key, time, host, path and body."""
    (tmp_path / "aws.py").write_text(SIGV4)
    hook = load_hook(resolved_hook("aws.py:sign", "[build.candidate] hook", tmp_path), "[build.candidate] hook")
    request, names = signed(hook, get("/things", method="POST", body=b'{"a":1}'))
    assert names == ("Authorization", "X-Amz-Date", "X-Amz-Content-Sha256")
    fields = dict(request.headers)
    assert fields["X-Amz-Content-Sha256"] == hashlib.sha256(b'{"a":1}').hexdigest()
    assert fields["Authorization"].endswith(
        "Signature=c8d8bd340b12762286e56deeb5891b98d260309372fed691323c8b268bcec3f8"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no key for this\\nhost')", "ValueError: no key for this host"),
        ("raise SystemError", "SystemError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return type('M', (dict,), {'items': lambda self: 1 / 0})()", "ZeroDivisionError"),
        ("return None", "it returned NoneType and not a mapping"),
        ("return {'bad name': 'x'}", "a header named 'bad name'"),
        ("return {'Content-Length': '1'}", "a header named 'Content-Length'"),
        ("return {1: 'x'}", "a header named 1"),
        ("return {'X': 'a\\r\\nEvil: 1'}", "a value for X that is not one line"),
        ("return {'X': b'bytes'}", "a value for X that is not one line"),
    ],
)
def test_a_hook_that_fails_says_why_in_one_line(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(f"def sign(method, target, headers, body):\n    {body}\n")
    hook = load_hook(resolved_hook("bad.py:sign", "here", tmp_path), "here")
    with pytest.raises(HookFailed) as caught:
        signed(hook, get("/"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["time.sleep(600)", "while True: pass", "swallow()"])
def test_a_hook_that_does_not_come_back_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr("replay.hook._SECONDS_MAX", 0.05)
    (tmp_path / "slow.py").write_text(
        "import time\n\ndef swallow():\n"
        "    try:\n        time.sleep(600)\n    except Exception:\n        time.sleep(600)\n\n"
        f"def sign(method, target, headers, body):\n    {body}\n"
    )
    hook = load_hook(resolved_hook("slow.py:sign", "here", tmp_path), "here")
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(HookFailed, match=r"it had not returned after 0\.05 s"):
        signed(hook, get("/"))
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_alarm_of_somebody_else_is_set_again_after_a_hook() -> None:
    before, left = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 5000)
    try:
        signed(lambda *_: {}, get("/"))
        assert 4000 < signal.getitimer(signal.ITIMER_REAL)[0] <= 5000
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


def test_a_hook_that_did_not_come_back_three_times_is_not_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.hook._SECONDS_MAX", 0.02)
    calls = []

    def hook(*_: object) -> dict[str, str]:
        calls.append(1)
        time.sleep(600)
        return {}

    client = WireClient(Endpoint("http", "127.0.0.1", 9, "x"), Limits(), Clock())
    stage = Stage("candidate", "candidate", client, None, None, hook)
    for _ in range(5):
        with pytest.raises(HookFailed):
            stage.sign(get("/"))
    assert (len(calls), stage.hook_failed) == (3, 5)
    assert stage.hook_detail == "it had not returned after 0.02 s"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sign", "is no hook; write"),
        ("mod:not a name", "is no hook; write"),
        ("none.py:sign", "there is no file"),
        ("broken.py:sign", "cannot be imported: ZeroDivisionError"),
        ("leaving.py:sign", "cannot be imported: SystemExit"),
        ("fine.py:missing", "has no function 'missing'"),
        ("no_such_module_here:sign", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_hook_that_cannot_be_loaded_is_wrong_use(tmp_path: Path, spec: str, message: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit\n")
    (tmp_path / "fine.py").write_text("x = 1\n")
    with pytest.raises(UsageError) as caught:
        load_hook(resolved_hook(spec, "[build.candidate] hook", tmp_path), "[build.candidate] hook")
    assert message in str(caught.value)
    assert str(caught.value).startswith("[build.candidate] hook: ")


def test_a_hook_may_be_a_function_of_an_installed_module() -> None:
    assert load_hook(resolved_hook("json:dumps", "here", Path()), "here") is json.dumps


@pytest.mark.net
def test_where_the_hook_fails_the_pair_is_skipped_and_the_summary_says_why(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "def sign(method, target, headers, body):\n    return {} if method == 'GET' else {}['key']\n"
    settings = config(tmp_path, "signing.py:sign", source, ("current", "candidate"))
    with serving() as current, serving() as candidate:
        code = run_main(
            "replay", log, "--current", current.url, "--candidate", candidate.url, "--run", tmp_path / "run",
            "--allow-writes", "--reference", "--config", settings,
        )  # fmt: skip
        requests = [*current.requests, *candidate.requests]
    assert code == 0
    assert len(requests) == 3
    out = capsys.readouterr().out
    assert "planned=2 sent=1 skipped=1 (hook_failed=1)" in out
    assert "the hook of current failed 1 times, first: KeyError: 'key'" in out
    run = open_run(tmp_path / "run")
    assert run.manifest["hook_failures"] == {"current": {"count": 1, "first": "KeyError: 'key'"}}
    assert {p.position: p.skipped for p in run.performances()} == {0: None, 1: "hook_failed"}


@pytest.mark.net
def test_a_wrong_hook_is_named_before_anything_is_sent(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(tmp_path, "signing.py:absent", HMAC)
    with serving() as current:
        code = run_main(
            "replay", log, "--current", current.url, "--candidate", current.url, "--run", tmp_path / "run",
            "--config", settings,
        )  # fmt: skip
        assert current.requests == []
    assert code == 2
    assert "has no function 'absent'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
