"""What the scribe does with what it is told, without its process: redact, write, count."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from capture.clock import Clock
from capture.conservation import Conservation
from capture.errors import UsageError
from capture.exchange import Exchange, Times
from capture.log.reader import open_log
from capture.settings import CaptureConfig, LogConfig, RedactConfig
from capture.sources.relay.scribe_process import Scribing
from capture.sources.relay.scribe_wire import (
    CHANGE,
    COUNTS,
    END,
    EXCHANGES,
    RENEW,
    ScribeStart,
    encode_exchange,
    exchange_frames,
)
from tests.support.redaction import JSON, asked

CAPTURE = CaptureConfig(redaction_key="k" * 32)
BODY = b'{"nickname":"redfox77","password":"Tr0ub4dor-9f8e"}'


def start(log: Path, redact: RedactConfig | None = None) -> ScribeStart:
    return ScribeStart(str(log), LogConfig(compact=False), {}, CAPTURE, redact or RedactConfig(), "text")


def payload(*exchanges: Exchange) -> bytes:
    (framed,) = exchange_frames([encode_exchange(exchange) for exchange in exchanges])
    return framed[5:]


def exchange(at_ns: int, body: bytes = BODY, incomplete: str | None = None) -> Exchange:
    return Exchange("", "s", "relay", 1.0, asked("/", JSON, body=body.decode()), None, Times(at_ns), incomplete)


def counts(**values: int) -> bytes:
    made = Conservation()
    for name, value in values.items():
        setattr(made, name, value)
    return msgspec.msgpack.encode(made.as_dict())


def bodies(log: Path) -> list[bytes | None]:
    with open_log(log) as opened:
        return [one.request.body for one in opened.exchanges()]


def test_what_is_told_holds_from_the_next_exchange_on(tmp_path: Path) -> None:
    scribing = Scribing(start(tmp_path / "log"), Clock())
    assert scribing.take(EXCHANGES, payload(exchange(1)))
    assert scribing.take(CHANGE, pickle.dumps((CAPTURE, RedactConfig(fields=("nickname",)))))
    assert scribing.take(RENEW, msgspec.msgpack.encode({"redaction": "second"}))
    assert scribing.take(EXCHANGES, payload(exchange(2), exchange(3)))
    assert not scribing.take(END, counts(seen=3, kept=3))
    scribing.end()
    first, second, third = bodies(tmp_path / "log")
    assert first is not None
    assert second is not None
    assert b"redfox77" in first
    assert b"redfox77" not in second
    assert b"Tr0ub4dor" not in first + second
    assert second == third
    told = scribing.told(ended=True)
    assert (told.taken, told.written, told.queued, told.lost) == (3, 3, 0, {})
    assert told.taken_bytes == sum(len(encode_exchange(exchange(n))) for n in (1, 2, 3))
    with open_log(tmp_path / "log") as log:
        assert log.conservation().line().startswith("conservation seen=3 kept=3 ")


def test_what_cannot_be_redacted_is_lost_by_name_and_the_footer_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scribing = Scribing(start(tmp_path / "log"), Clock())

    def fail(one: Exchange) -> Exchange:
        raise RuntimeError(one)

    monkeypatch.setattr("capture.redact.redactor.Redactor.redact", lambda _, one: fail(one))
    scribing.take(COUNTS, counts(seen=1, kept=1))
    scribing.take(EXCHANGES, payload(exchange(1), exchange(2, incomplete="reset")))
    scribing.take(END, msgspec.msgpack.encode({"seen": 1, "incomplete": {"reset": 1}}))
    scribing.end()
    told = scribing.told()
    assert told.lost == {"redactor_error": 2}
    assert told.lost_incomplete == {"reset": 1}
    with open_log(tmp_path / "log") as log:
        assert list(log.exchanges()) == []
        assert log.conservation().shed == {"redactor_error": 2}
        assert log.conservation().balanced()


def test_a_body_that_would_hold_up_a_relay_is_kept_here(tmp_path: Path) -> None:
    body = b'{"token":"abc-123-def","items":[' + b'{"email":"a@b.example"},' * 20_000 + b"1]}"
    scribing = Scribing(start(tmp_path / "log"), Clock())
    scribing.take(EXCHANGES, payload(exchange(1, body)))
    scribing.take(END, counts())
    scribing.end()
    (kept,) = bodies(tmp_path / "log")
    assert kept is not None
    assert len(kept) == len(body)
    assert b"a@b.example" not in kept
    assert b"abc-123-def" not in kept


def test_rules_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'json'"):
        Scribing(start(tmp_path / "log", RedactConfig(keep=("jsn:x",))), Clock())
