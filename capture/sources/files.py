"""Files of other tools as a source: recognised by content, sampled and redacted as live traffic is, and counted."""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from capture.conservation import Conservation
from capture.errors import BadInput
from capture.exchange import Exchange
from capture.log.importers.found import Found, Skipped, Torn, head_of
from capture.pipeline import Pipeline

__all__ = ["FORMATS", "FileImport", "recognise"]

FORMATS = {
    "log": ("capture.log.importers.segments", "our own log or segment"),
    "pcap": ("capture.log.importers.packets", "pcap or pcapng"),
    "gor": ("capture.log.importers.gor", "GoReplay"),
    "envoy": ("capture.log.importers.envoy", "Envoy tap JSON"),
    "har": ("capture.log.importers.har", "HAR"),
    "mitm": ("capture.log.importers.mitm", "mitmproxy flows"),
    "jsonl": ("capture.log.importers.jsonl_lines", "our JSONL"),
    "access": ("capture.log.importers.access", "an access log of nginx or Apache"),
}
"""Format to (module, what it is called), in the order in which content is tried: the surest marks first."""


def _module(name: str) -> Any:
    return importlib.import_module(FORMATS[name][0])


def recognise(path: Path) -> str:
    """The format of a file, by its content. Raises BadInput with one line where it is none that is known."""
    if path.is_dir():
        return "log"
    head = head_of(path)
    for name in FORMATS:
        if _module(name).recognise(head):
            return name
    known = ", ".join(title for _, title in FORMATS.values())
    what = "empty" if not head else f"it begins with {head[:16]!r}"
    raise BadInput(f"{path}: not a file that can be imported ({what}); known are: {known}")


@dataclass(slots=True)
class FileImport:
    """One import of any number of files into one log.

    sink: takes an exchange and returns None, or the reason why not. has: True for an id that the log has already. warn:
    is told of each skipped record, one line. stop: True where no more is to be read. counts: seen is every record of
    every file, and adds up as for live traffic; a skipped one is shed by its code.
    """

    pipeline: Pipeline
    sink: Callable[[Exchange], str | None]
    has: Callable[[str], bool]
    sample: float = 1.0
    redact_own: bool = False
    key: bytes | None = None
    body_bytes_max: int = 1 << 20
    warn: Callable[[str], None] = lambda line: None
    stop: Callable[[], bool] = lambda: False
    formats: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Conservation:
        """What became of every record so far."""
        return self.pipeline.counts

    def take(self, path: Path, form: str | None = None) -> int:
        """Read one file; returns how many of its exchanges the log took. Raises BadInput where it cannot be read."""
        name = form or recognise(path)
        before = self.counts.kept + sum(self.counts.incomplete.values())
        self.formats[name] += 1
        if name == "pcap":
            self._packets(path)
            return self.counts.kept + sum(self.counts.incomplete.values()) - before
        records = 0
        try:
            for record in self._records(path, name):
                if self.stop():
                    break
                records += 1
                self._record(path, name, record)
        except Torn as error:
            if not records:
                raise
            self._record(path, name, Skipped(f"behind record {records}", "bad_record", str(error)))
        return self.counts.kept + sum(self.counts.incomplete.values()) - before

    def _record(self, path: Path, name: str, record: Found | Skipped) -> None:
        if isinstance(record, Skipped):
            self.counts.seen += 1
            self.counts.shed[record.code] += 1
            self.warn(f"{path}: {record.place}: {record.why.removeprefix(f'{path}: ')}")
        elif record.settled:
            self._settled(record.exchange, name)
        else:
            self._fresh(record)

    def _packets(self, path: Path) -> None:
        """Packets go to the pipeline by themselves, connection by connection, as from an interface."""
        from capture.sources.sniff import read_capture

        reader = read_capture([path], self.pipeline, body_bytes_max=self.body_bytes_max, damaged=self.warn)
        for reason, n in sorted(reader.decoder.counts.items()):
            if n and reason != "not_ip":
                self.warn(f"{path}: {n} packets: {reason}")

    def _records(self, path: Path, name: str) -> Iterator[Found | Skipped]:
        module = _module(name)
        found: Iterator[Found | Skipped] = module.read(path, self.key) if name == "log" else module.read(path)
        return found

    def _fresh(self, record: Found) -> None:
        exchange = record.exchange
        decision = self.pipeline.begin(exchange.request, record.client, exchange.times.request_start)
        if decision is not None:
            self.pipeline.finish(exchange, decision)

    def _settled(self, exchange: Exchange, name: str) -> None:
        """An exchange that a sampler of ours has decided on before: session and id stay, probabilities multiply."""
        counts = self.counts
        counts.seen += 1
        if self.sample < 1:
            digest = hashlib.sha256(exchange.session.encode("utf-8", "surrogatepass")).digest()
            if int.from_bytes(digest[:8], "big") >= self.sample * (1 << 64):
                counts.sampled_out += 1
                return
            exchange = replace(exchange, kept_with=exchange.kept_with * self.sample)
        if exchange.id and self.has(exchange.id):
            counts.shed["already_there"] += 1
            return
        if name != "log" or self.redact_own:
            try:
                exchange = self.pipeline.redact(exchange)
            except Exception:  # noqa: BLE001  # what could not be redacted must not be written; counted
                counts.shed["redactor_error"] += 1
                return
        reason = self.sink(exchange)
        if reason is not None:
            counts.shed[reason] += 1
        elif exchange.incomplete_reason is not None:
            counts.incomplete[exchange.incomplete_reason] += 1
        else:
            counts.kept += 1
