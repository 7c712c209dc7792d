"""The pipeline counts every fate, lets nothing unredacted out, and raises nothing."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from capture.cli import Command
from capture.config import Settings
from capture.errors import BadInput, UsageError
from capture.exchange import Exchange, Request, Response, Times
from capture.options import CaptureSettings, capture_options, capture_settings
from capture.pipeline import Pipeline, pipeline_from_config, redaction_key, with_redaction_key
from capture.pseudonym import Pseudonyms
from capture.sample import Decision, Sampler, parse_specs
from capture.settings import CaptureConfig, RedactConfig

KEY = CaptureConfig(redaction_key="0123456789abcdef0123456789abcdef")
GET = Request("GET", "/", "HTTP/1.1", (("Authorization", "Bearer secret-secret-1"),))


def exchange(incomplete: str | None = None) -> Exchange:
    return Exchange(
        "", "", "relay", 1.0, GET, Response(200, "OK", "HTTP/1.1", ()), Times(1, 2, 3, 4), incomplete, notes=("seen",)
    )


class Collector:
    def __init__(self, *reasons: str | None) -> None:
        self.taken: list[Exchange] = []
        self.reasons = list(reasons)

    def __call__(self, taken: Exchange) -> str | None:
        self.taken.append(taken)
        return self.reasons.pop(0) if self.reasons else None


def test_a_kept_exchange_reaches_the_sink_with_session_probability_and_notes_and_without_secrets() -> None:
    sink = Collector()
    pipeline = pipeline_from_config(KEY, RedactConfig(), sink)
    decision = pipeline.begin(GET, "10.0.0.1:99", 1)
    assert decision is not None
    assert pipeline.in_flight == 1
    pipeline.finish(exchange(), decision)
    (taken,) = sink.taken
    assert taken.session == decision.session
    assert taken.kept_with == 1.0
    assert taken.notes == ("seen",)
    assert taken.redacted == ("request.header:authorization",)
    assert b"secret-secret-1" not in msgspec.msgpack.encode(taken)
    assert pipeline.counts.line() == "conservation seen=1 kept=1 sampled_out=0 shed=0 incomplete=0 opaque=0"
    assert pipeline.in_flight == 0


def test_every_fate_is_counted_once() -> None:
    sink = Collector(None, "queue_full", None)
    pipeline = pipeline_from_config(KEY, RedactConfig(), sink)
    for incomplete in (None, None, "client_closed"):
        decision = pipeline.begin(GET, "c", 1)
        assert decision is not None
        pipeline.finish(exchange(incomplete), decision)
    abandoned = pipeline.begin(GET, "c", 1)
    assert abandoned is not None
    pipeline.abandon(abandoned, "budget")
    pipeline.opaque("tls")
    pipeline.skimmed(7)
    pipeline.lost("observer_error", 2)
    assert pipeline.counts.balanced()
    assert pipeline.counts.line() == (
        "conservation seen=14 kept=1 sampled_out=7 shed=4 incomplete=1 opaque=1"
        " shed:budget=1 shed:observer_error=2 shed:queue_full=1 incomplete:client_closed=1"
    )


def test_an_exchange_that_the_log_lost_later_is_shed_after_all() -> None:
    pipeline = pipeline_from_config(KEY, RedactConfig(), lambda _: None)
    for incomplete in (None, "reset"):
        decision = pipeline.begin(GET, "c", 1)
        assert decision is not None
        pipeline.finish(exchange(incomplete), decision)
        pipeline.revoke(exchange(incomplete), "disk_full")
    assert pipeline.counts.balanced()
    assert pipeline.counts.kept == 0
    assert pipeline.counts.shed == {"disk_full": 2}


class Broken:
    """Raises from every method that the pipeline calls."""

    def redact(self, exchange: Exchange) -> Exchange:
        raise RuntimeError("redactor")

    def begin(self, request: Request, client: str, at_ns: int) -> Decision | None:
        raise RuntimeError("sampler")

    def connection_kept(self, client: str) -> bool:
        raise RuntimeError("sampler")


def test_a_redactor_that_fails_lets_nothing_out() -> None:
    sink = Collector()
    pipeline = Pipeline(Sampler(1.0, parse_specs(()), Pseudonyms(b"k")), Broken(), sink)
    decision = pipeline.begin(GET, "c", 1)
    assert decision is not None
    pipeline.finish(exchange(), decision)
    assert sink.taken == []
    assert pipeline.counts.shed == {"redactor_error": 1}
    assert pipeline.counts.balanced()


def test_a_sampler_that_fails_costs_a_sample_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_from_config(KEY, RedactConfig(), Collector())
    decision = pipeline.begin(GET, "c", 1)
    assert decision is not None
    monkeypatch.setattr(pipeline, "sampler", Broken())
    assert pipeline.begin(GET, "c", 1) is None
    assert pipeline.connection_kept("c")
    pipeline.finish(exchange(), decision)
    assert pipeline.counts.shed == {"sampler_error": 2}
    assert pipeline.counts.balanced()


def test_a_sink_that_fails_is_a_counted_loss() -> None:
    def sink(_: Exchange) -> str | None:
        raise OSError("disk")

    pipeline = pipeline_from_config(KEY, RedactConfig(), sink)
    decision = pipeline.begin(GET, "c", 1)
    assert decision is not None
    pipeline.finish(exchange(), decision)
    assert pipeline.counts.shed == {"log_error": 1}
    assert pipeline.counts.balanced()


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["finish", "incomplete", "shed", "abandon", "opaque", "skim", "lose"]),
        st.integers(0, 40),
        st.booleans(),
    ),
    max_size=40,
)


@given(_STEPS, st.floats(0, 1), st.sampled_from(["client", "cookie:sid"]))
def test_counts_balance_at_rest_for_any_course_of_events(
    steps: list[tuple[str, int, bool]], probability: float, spec: str
) -> None:
    reasons: list[str | None] = []
    capture = CaptureConfig(sample=probability, session_key=(spec,), redaction_key=KEY.redaction_key)
    pipeline = pipeline_from_config(capture, RedactConfig(), lambda _: reasons.pop() if reasons else None)
    seen = 0
    for step, n, with_key in steps:
        if step == "opaque":
            pipeline.opaque("tls")
            seen += 1
        elif step == "skim":
            pipeline.skimmed(n)
            seen += n
        elif step == "lose":
            pipeline.lost("budget", n)
            seen += n
        else:
            seen += 1
            asked = Request("GET", "/", "HTTP/1.1", (("Cookie", f"sid={n}"),) if with_key else ())
            decision = pipeline.begin(asked, f"10.0.0.{n}", n)
            if decision is not None and step == "abandon":
                pipeline.abandon(decision, "drain")
            elif decision is not None:
                reasons[:] = ["queue_full"] if step == "shed" else []
                pipeline.finish(exchange("cut" if step == "incomplete" else None), decision)
    assert pipeline.in_flight == 0
    assert pipeline.counts.seen == seen
    assert pipeline.counts.balanced()


# ---- the key, and the options of the commands


def test_without_a_key_a_random_one_is_taken_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = with_redaction_key(CaptureConfig()), with_redaction_key(CaptureConfig())
    assert redaction_key(one) != redaction_key(other)
    assert "no redaction key" in capsys.readouterr().err
    assert redaction_key(with_redaction_key(one)) == redaction_key(one)
    assert capsys.readouterr().err == ""


def test_a_key_file_is_read_and_wins(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("a key of more than sixteen characters\n")
    config = CaptureConfig(redaction_key="from the environment", redaction_key_file=path)
    assert redaction_key(with_redaction_key(config)) == b"a key of more than sixteen characters"
    path.write_bytes(bytes(range(128, 160)))
    assert redaction_key(with_redaction_key(config)) == bytes(range(128, 160)).hex().encode()


def test_a_key_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        with_redaction_key(CaptureConfig(redaction_key_file=tmp_path / "none"))
    empty = tmp_path / "empty"
    empty.write_text(" \n")
    with pytest.raises(UsageError, match="is empty"):
        with_redaction_key(CaptureConfig(redaction_key_file=empty))
    empty.write_bytes(b"x" * 5000)
    with pytest.raises(BadInput, match="too long"):
        with_redaction_key(CaptureConfig(redaction_key_file=empty))
    with pytest.raises(UsageError, match="no redaction key"):
        redaction_key(CaptureConfig())


def test_a_short_key_is_taken_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert redaction_key(with_redaction_key(CaptureConfig(redaction_key="short"))) == b"short"
    assert "can be guessed" in capsys.readouterr().err


def options_of(arguments: list[str], settings: Settings) -> CaptureSettings:
    found: list[CaptureSettings] = []

    @click.command(cls=Command)
    @capture_options
    def command(**given: object) -> None:
        found.append(capture_settings(settings, given))

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    settings = Settings(
        tables={"capture": {"sample": 0.1, "session_key": ["cookie:a"]}, "redact": {"keep": ["query:token"]}},
        environ={"UNDERSTUDY_CAPTURE_SAMPLE": "0.2", "UNDERSTUDY_CAPTURE_REDACTION_KEY": "secret"},
    )
    made = options_of(["--log", str(tmp_path)], settings)
    assert made.log == tmp_path
    assert made.capture.sample == 0.2
    assert made.capture.session_key == ("cookie:a",)
    assert made.capture.redaction_key == "secret"
    assert made.capture.trust_forwarded is False
    assert made.redact == RedactConfig(keep=("query:token",))
    flags = "--sample 0.3 --session-key client --session-key query:u --redact strict --trust-forwarded"
    made = options_of(["--log", str(tmp_path), *flags.split(), "--redaction-key-file", "/k"], settings)
    assert made.capture.sample == 0.3
    assert made.capture.session_key == ("client", "query:u")
    assert made.capture.redaction_key_file == Path("/k")
    assert made.capture.trust_forwarded is True
    assert made.redact.mode == "strict"


def test_a_sample_that_is_no_probability_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sample: sample must be a probability from 0 to 1, found 7"):
        options_of(["--log", str(tmp_path), "--sample", "7"], Settings())


def test_a_misspelt_session_key_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="cokie:sid"):
        pipeline_from_config(CaptureConfig(session_key=("cokie:sid",), redaction_key="k" * 16), RedactConfig(), print)
