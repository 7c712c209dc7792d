"""The pipeline joins sampler, redactor and sink for every source, and keeps the sum of what became of each exchange."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click

from capture.conservation import Conservation
from capture.count_board import CountBoard
from capture.errors import BadInput, UsageError
from capture.exchange import Exchange, Request
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.sample import Decision, Sampler, parse_specs
from capture.settings import CaptureConfig, RedactConfig

__all__ = ["AsSeen", "Pipeline", "Redacts", "pipeline_from_config", "redaction_key", "sampler_of", "with_redaction_key"]

_SHORT_KEY = 16


class Redacts(Protocol):
    """What the pipeline needs of a redactor: an exchange without secrets for one with, or an exception."""

    def redact(self, exchange: Exchange) -> Exchange: ...


class AsSeen:
    """Leaves exchanges as they are, for a sink that redacts them before anything is written."""

    def redact(self, exchange: Exchange) -> Exchange:
        return exchange


class Pipeline:
    """From a source to the log. Every method returns at once, and none raises whatever sampler, redactor or sink do.

    counts: balanced whenever `in_flight` is 0; written to `board`, where there is one, as they change. admit: asked at
    every `begin`, with its time; a reason sheds it.
    Not safe for threads: one pipeline, one thread.
    """

    __slots__ = ("_redactor", "_sink", "admit", "board", "counts", "in_flight", "sampler")

    def __init__(
        self,
        sampler: Sampler,
        redactor: Redacts,
        sink: Callable[[Exchange], str | None],
        counts: Conservation | None = None,
    ) -> None:
        """sink: returns None where it accepted the exchange, else the reason why it was shed."""
        self.sampler = sampler
        self._redactor = redactor
        self._sink = sink
        self.counts = counts if counts is not None else Conservation()
        self.in_flight = 0
        self.admit: Callable[[int], str | None] | None = None
        self.board: CountBoard | None = None

    def adopt(self, sampler: Sampler | None = None, redactor: Redacts | None = None) -> None:
        """Use these from the next request or response on; None for what stays as it is."""
        if sampler is not None:
            self.sampler = sampler
        if redactor is not None:
            self._redactor = redactor

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool:
        """False where no exchange of this client's connection can be kept; then only count them with `skimmed`.

        at_ns: now, where a session that has begun on a common route is to be left out too.
        """
        try:
            return self.sampler.connection_kept(client, at_ns)
        except Exception:  # noqa: BLE001  # capture must not break the traffic; `begin` counts what fails
            return True

    def begin(self, request: Request, client: str, at_ns: int) -> Decision | None:
        """Count a request whose head is there, and decide. None: it is sampled out (or shed), which is counted.

        client: "ip" or "ip:port", "" where unknown. Every Decision must go to `finish` or `abandon` once.
        """
        counts = self.counts
        counts.seen += 1
        if self.admit is not None and (reason := self.admit(at_ns)) is not None:
            self._shed(reason)
            return None
        try:
            decision = self.sampler.begin(request, client, at_ns)
        except Exception:  # noqa: BLE001  # fail-open: counted as a loss, with its reason
            self._shed("sampler_error")
            return None
        if decision is None:
            counts.sampled_out += 1
        else:
            self.in_flight += 1
        if self.board is not None:
            self.board.count(counts)
        return decision

    def left_out(self, head: bytes, client: str, at_ns: int) -> bool:
        """True where `begin` would surely sample the request with this head out; then count it with `skimmed`."""
        if self.admit is not None:
            return False
        try:
            return self.sampler.left_out(head, client, at_ns)
        except Exception:  # noqa: BLE001  # capture must not break the traffic; `begin` counts what fails
            return False

    def finish(self, exchange: Exchange, decision: Decision) -> None:
        """Hand the exchange of an earlier `begin` on: sampled, without secrets. Counts its fate."""
        self.in_flight -= 1
        try:
            settled = self.sampler.settle(decision, exchange)
        except Exception:  # noqa: BLE001  # fail-open: counted as a loss, with its reason
            self._shed("sampler_error")
            return
        if settled is None:
            self.counts.sampled_out += 1
            self._post()
            return
        try:
            exchange = self._redactor.redact(
                Exchange(
                    exchange.id,
                    settled.session,
                    exchange.source,
                    settled.kept_with,
                    exchange.request,
                    exchange.response,
                    exchange.times,
                    exchange.incomplete_reason,
                    exchange.redacted,
                    exchange.connection,
                    exchange.server,
                    exchange.scheme,
                    exchange.notes + settled.notes,
                )
            )
        except Exception:  # noqa: BLE001  # what could not be redacted must not be written; counted
            self._shed("redactor_error")
            return
        try:
            reason = self._sink(exchange)
        except Exception:  # noqa: BLE001  # fail-open: counted as a loss, with its reason
            reason = "log_error"
        if reason is not None:
            self._shed(reason)
        elif exchange.incomplete_reason is not None:
            self._incomplete(exchange.incomplete_reason, 1)
        else:
            self.counts.kept += 1
            if self.board is not None:
                self.board.count(self.counts)

    def abandon(self, decision: Decision, reason: str) -> None:
        """Give up an exchange that began; it is shed by `reason`."""
        self.in_flight -= 1
        self._shed(reason)

    def redact(self, exchange: Exchange) -> Exchange:
        """The exchange without secrets, for a caller that samples by itself. Raises what the redactor raises."""
        return self._redactor.redact(exchange)

    def opaque(self, reason: str) -> None:
        """Count a connection or tunnel that cannot be read; `reason` is for the caller's own metrics."""
        self.counts.seen += 1
        self.counts.opaque += 1
        self._post()

    def skimmed(self, n: int) -> None:
        """Count `n` exchanges of a connection that `connection_kept` left out."""
        counts = self.counts
        counts.seen += n
        counts.sampled_out += n
        if self.board is not None:
            self.board.count(counts)

    def lost(self, reason: str, n: int = 1) -> None:
        """Count `n` exchanges that were there and could not be followed (a budget, an observer that failed)."""
        self.counts.seen += n
        self._shed(reason, n)

    def revoke(self, exchange: Exchange, reason: str) -> None:
        """The sink accepted this exchange and lost it later (a full disk): it is shed by `reason` after all."""
        if exchange.incomplete_reason is not None:
            self._incomplete(exchange.incomplete_reason, -1)
        else:
            self.counts.kept -= 1
        self._shed(reason)

    def _shed(self, reason: str, n: int = 1) -> None:
        shed = self.counts.shed
        shed[reason] += n
        if self.board is not None:
            self.board.count(self.counts)
            self.board.shed(reason, shed[reason])

    def _incomplete(self, reason: str, n: int) -> None:
        incomplete = self.counts.incomplete
        incomplete[reason] += n
        if self.board is not None:
            self.board.incomplete(reason, incomplete[reason])

    def _post(self) -> None:
        if self.board is not None:
            self.board.count(self.counts)


def with_redaction_key(capture: CaptureConfig) -> CaptureConfig:
    """The same configuration with a redaction key in it: from the file, the environment, or at random with a warning.

    Processes that must agree on pseudonyms are given the result. Raises UsageError for a key that is empty, BadInput
    for a file that cannot be read.
    """
    if capture.redaction_key_file is not None:
        text = _key_text(capture.redaction_key_file)
        where = str(capture.redaction_key_file)
    elif capture.redaction_key is not None:
        text, where = capture.redaction_key.strip(), "UNDERSTUDY_CAPTURE_REDACTION_KEY"
    else:
        click.echo(
            "understudy: no redaction key: a random one lives as long as this process, and its pseudonyms will not join"
            " with other processes'; set UNDERSTUDY_CAPTURE_REDACTION_KEY or --redaction-key-file",
            err=True,
        )
        return dataclasses.replace(capture, redaction_key=secrets.token_hex(32))
    if not text:
        raise UsageError(f"{where}: the redaction key is empty; put 32 random bytes in hexadecimal there")
    if len(text) < _SHORT_KEY:
        click.echo(f"understudy: {where}: a redaction key this short can be guessed; use 32 random bytes", err=True)
    return dataclasses.replace(capture, redaction_key=text, redaction_key_file=None)


def _key_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(4097)
    except OSError as error:
        raise BadInput(f"{path}: the redaction key cannot be read: {error.strerror}") from None
    if len(data) > 4096:
        raise BadInput(f"{path}: too long for a redaction key; expected at most 4096 bytes")
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        return data.hex()


def redaction_key(capture: CaptureConfig) -> bytes:
    """The bytes of the configured key; hexadecimal text and other text alike. Call `with_redaction_key` first."""
    if not capture.redaction_key:
        raise UsageError("no redaction key; set UNDERSTUDY_CAPTURE_REDACTION_KEY or --redaction-key-file")
    return capture.redaction_key.encode()


def pipeline_from_config(
    capture: CaptureConfig,
    redact: RedactConfig,
    sink: Callable[[Exchange], str | None],
    redactor: Redacts | None = None,
) -> Pipeline:
    """The pipeline of a command, with another redactor than the configured one where that is given.

    Raises UsageError for specs and rules that cannot be used.
    """
    capture = with_redaction_key(capture)
    pseudonyms = Pseudonyms(redaction_key(capture))
    return Pipeline(sampler_of(capture, pseudonyms), redactor or Redactor(redact, pseudonyms), sink)


def sampler_of(capture: CaptureConfig, pseudonyms: Pseudonyms) -> Sampler:
    """The sampler of a configuration. Raises UsageError for session keys that are not known."""
    return Sampler(
        capture.sample,
        parse_specs(capture.session_key),
        pseudonyms,
        trust_forwarded=capture.trust_forwarded,
        rare_factor=capture.rare_factor,
        session_idle_ns=capture.session_idle_s * 1_000_000_000,
        sessions_max=capture.sessions_max,
    )
