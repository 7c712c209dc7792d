"""Passive capture: packets of files or of a live interface, through reassembly and pipeline, into a log."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from capture.clock import Clock
from capture.conservation import Conservation
from capture.errors import RunFailed
from capture.exchange import Exchange
from capture.log.writer import LogWriter
from capture.options import CaptureSettings
from capture.pipeline import Pipeline, pipeline_from_config, with_redaction_key
from capture.sources.packets.connections import Connections
from capture.sources.packets.files import merged, read_frames
from capture.sources.packets.follow import Counted, Followed, Recorder
from capture.sources.packets.ip import Decoder, Segment
from capture.sources.packets.link import ETHERNET, LINK_TYPES, ip_offset
from capture.sources.packets.ring import BLOCKS, RETIRE_MS, Ring, is_chosen, threshold

__all__ = ["Reader", "SniffReport", "read_capture", "sniff_files", "sniff_interface"]

_S = 1_000_000_000
_IDLE_S = 3 * RETIRE_MS / 1000  # longer than the kernel keeps a packet in an open block
_FULL_WAIT_S = 0.005
_STATISTICS_NS = _S
_GOES_ON_NS = 60 * _S
"""A file that begins within this of the end of the one before may be its continuation."""
_GC_THRESHOLD = 50_000
_PLAIN = struct.Struct(">12xHBxHxxHxBxx8s4sIIBB")  # Ethernet, IPv4 without options, TCP up to its flags


@dataclasses.dataclass(slots=True)
class SniffReport:
    """What came of a capture. frames: that were read; segments: those of TCP; left: those that were not TCP on IP, by
    reason; kernel_drops: packets lost before they could be read, whose exchanges the counts have as lost or incomplete;
    unread: those left in the ring when the capture was ended at once; damaged: one line for each file that is torn."""

    counts: Conservation
    frames: int = 0
    segments: int = 0
    left: dict[str, int] = dataclasses.field(default_factory=dict)
    kernel_drops: int = 0
    unread: int = 0
    damaged: list[str] = dataclasses.field(default_factory=list)

    def merge(self, other: SniffReport) -> None:
        """Add what another process saw."""
        self.counts.merge(other.counts)
        self.frames += other.frames
        self.segments += other.segments
        self.kernel_drops += other.kernel_drops
        self.unread += other.unread
        for reason, n in other.left.items():
            self.left[reason] = self.left.get(reason, 0) + n


class Reader:
    """Frames in, exchanges to a recorder; no clock of its own: time is what the frames say."""

    def __init__(
        self, recorder: Recorder, body_bytes_max: int, ports: Collection[int] = (), connections: float = 1.0
    ) -> None:
        """connections: probability with which a connection's exchanges may be kept; the rest are only counted."""
        self._recorder = recorder
        self._body_bytes_max = body_bytes_max
        self._chosen = connections
        self.decoder = Decoder()
        self.connections = Connections(self._follow, ports)
        self.frames = 0
        self.last_ns = 0

    def _follow(self, client: str, server: str, number: int, at_ns: int) -> Followed | Counted:
        chosen = self._chosen >= 1.0 or is_chosen(int(client.rsplit(":", 1)[1]), self._chosen)
        if chosen and self._recorder.connection_kept(client, at_ns):
            return Followed(self._recorder, client, server, number, self._body_bytes_max)
        return Counted(self._recorder)

    def frame(self, link_type: int, data: bytes, at_ns: int) -> None:
        """One captured frame."""
        self.frames += 1
        self.last_ns = at_ns
        if link_type == ETHERNET and len(data) >= _PLAIN.size:  # nearly all frames are plain IPv4 and TCP
            kind, first, total, fragment, protocol, addresses, ports, seq, ack, words, flags = _PLAIN.unpack_from(data)
            if kind == 0x0800 and first == 0x45 and protocol == 6 and not fragment & 0x3FFF:
                end, start = 14 + total, 34 + (words >> 4) * 4
                if 54 <= start <= end <= len(data):
                    segment = Segment(addresses + ports, seq, ack, flags, data[start:end], 0)
                    self.connections.segment(segment, at_ns)
                    return
        offset = ip_offset(link_type, data)
        if offset < 0:
            self.decoder.counts["not_ip" if link_type in LINK_TYPES else "link_type"] += 1
            return
        found = self.decoder.segment(data, offset, at_ns)
        if found is not None:
            self.connections.segment(found, at_ns)

    def close(self) -> None:
        """No more frames: every connection ends here."""
        self.connections.close(self.last_ns)

    def report(self, report: SniffReport) -> None:
        """Write down how many frames there were, and what of them could not be used."""
        report.frames, report.segments = self.frames, self.connections.counts.segments
        report.left = dict(self.decoder.counts)


def read_capture(
    paths: Sequence[Path],
    recorder: Recorder,
    *,
    ports: Collection[int] = (),
    body_bytes_max: int = 1 << 20,
    damaged: Callable[[str], None] | None = None,
    merge: bool = False,
) -> Reader:
    """Read capture files one after the other into a recorder. Raises BadInput, UsageError.

    Each is read on its own, but where one begins when the last one ended, as a rotated capture does: there connections
    go on. merge: they are parts of one capture, and all are read as one in the order of time. damaged: called with one
    line for each file that is torn; what comes before the damage is read.
    """
    reader = Reader(recorder, body_bytes_max, ports)
    say = damaged or (lambda line: None)
    for frames in [merged(paths, say)] if merge else [read_frames(path, say) for path in paths]:
        first = True
        for link_type, data, at_ns, _ in frames:
            if first and not 0 <= at_ns - reader.last_ns <= _GOES_ON_NS:
                reader.close()
            first = False
            reader.frame(link_type, data, at_ns)
    reader.close()
    return reader


def sniff_files(
    paths: Sequence[Path], settings: CaptureSettings, ports: Collection[int] = (), *, merge: bool = False
) -> SniffReport:
    """Capture the exchanges of pcap and pcapng files into a log, as fast as the log takes them; see `read_capture`."""
    meta = {"source": "sniff", "files": [path.name for path in paths]}
    with _Recording(settings, meta, patient=True) as recording:
        report = SniffReport(recording.pipeline.counts)
        reader = read_capture(
            paths,
            recording.pipeline,
            ports=ports,
            body_bytes_max=settings.capture.body_bytes_max,
            damaged=report.damaged.append,
            merge=merge,
        )
        reader.report(report)
    return report


def sniff_interface(
    interface: str,
    ports: Collection[int],
    settings: CaptureSettings,
    on_sniffing: Callable[[], None],
    *,
    connections: float = 1.0,
    workers: int = 1,
    ring_mb: int = BLOCKS,
) -> SniffReport:
    """Capture from a live interface until SIGTERM or SIGINT, seal the log.

    on_sniffing: called once packets are being read. connections: as for `Reader`; each record's `kept_with` says so.
    workers: processes that share the packets by connection, each with its own segments of the log. ring_mb: MiB of
    packets that may wait in each. Raises UsageError, BadInput or RunFailed before anything is captured.
    """
    settings = dataclasses.replace(settings, capture=with_redaction_key(settings.capture))
    live = _Live(interface, ports, settings, connections, ring_mb)
    if workers > 1:
        return _share(live, on_sniffing, workers)
    return _sniff(live, on_sniffing, None)


@dataclasses.dataclass(frozen=True, slots=True)
class _Live:
    """What a process needs to know to sniff an interface."""

    interface: str
    ports: Collection[int]
    settings: CaptureSettings
    connections: float
    ring_mb: int


def _sniff(live: _Live, on_sniffing: Callable[[], None], fanout: int | None) -> SniffReport:
    interface, ports, settings, connections = live.interface, live.ports, live.settings, live.connections
    meta = {"source": "sniff", "interface": interface, "ports": sorted(ports)}
    with (
        Ring(interface, ports, connections=connections, blocks=live.ring_mb, fanout=fanout) as ring,
        _Recording(settings, meta, patient=False, connections=connections) as recording,
    ):
        pipeline = recording.pipeline
        reader = Reader(pipeline, settings.capture.body_bytes_max, ports, connections)
        report = SniffReport(pipeline.counts)
        stop = _Stop(None if fanout is None else os.getppid())
        link_type = ring.link_type
        clock = Clock()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 100)

        def each(data: bytes, at_ns: int) -> None:
            reader.frame(link_type, data, at_ns)

        on_sniffing()
        look_ns = 0
        draining = False
        while not stop.at_once:
            read = ring.read(each, _IDLE_S)
            now_ns = clock.now_ns()
            if stop.asked and not draining:
                ring.stop()
                draining = True
            elif not read:
                reader.connections.check(now_ns)
                if draining:
                    break
            if now_ns >= look_ns:
                look_ns = now_ns + _STATISTICS_NS
                report.kernel_drops += ring.drops()
                recording.copy_counts()
        report.unread = ring.left()
        report.kernel_drops += ring.drops()
        reader.close()
        stop.restore()
        reader.report(report)
    return report


class _Stop:
    """SIGTERM and SIGINT ask to stop; what is in the ring by then is still read. Another one ends at once.

    parent: the process whose end asks as well, since nobody would stop this one then.
    """

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._asked = 0
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def _ask(self, _number: int, _frame: object) -> None:
        self._asked += 1

    @property
    def asked(self) -> bool:
        return self._asked > 0 or (self._parent is not None and os.getppid() != self._parent)

    @property
    def at_once(self) -> bool:
        return self._asked > 1

    def restore(self) -> None:
        """Give the signals back to whom they belonged."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Recording:
    """A log that is open, and the pipeline before it; closing seals it and settles the counts.

    patient: wait for a full queue (files) instead of giving exchanges up (live). connections: probability of a
    connection to be chosen, by which each record's own is multiplied.
    """

    def __init__(
        self, settings: CaptureSettings, meta: dict[str, Any], *, patient: bool, connections: float = 1.0
    ) -> None:
        self._share = threshold(connections) / 65_536
        self._clock = Clock()
        try:
            self._writer = LogWriter(settings.log, settings.log_config, meta, now_ns=self._clock.now_ns)
        except OSError as error:
            raise RunFailed(f"--log: {settings.log}: cannot be written: {error.strerror}") from None
        try:
            sink = self._put_patiently if patient else self._put_weighed if connections < 1 else self._writer.put
            self.pipeline: Pipeline = pipeline_from_config(settings.capture, settings.redact, sink)
        except BaseException:
            self._writer.close()
            raise
        self._copy = Conservation()
        self._writer.sync_conservation(lambda: self._copy)

    def _put_patiently(self, exchange: Exchange) -> str | None:
        while (reason := self._writer.put(exchange)) == "queue_full":
            time.sleep(_FULL_WAIT_S)
        return reason

    def _put_weighed(self, exchange: Exchange) -> str | None:
        return self._writer.put(msgspec.structs.replace(exchange, kept_with=exchange.kept_with * self._share))

    def copy_counts(self) -> None:
        """Give the writer's thread a consistent copy of the counts."""
        self._copy = Conservation.from_dict(self.pipeline.counts.as_dict())

    def __enter__(self) -> _Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close(self.pipeline.counts)
        self._writer.settle(self.pipeline.counts)


def _share(live: _Live, on_sniffing: Callable[[], None], workers: int) -> SniffReport:
    """The same in several processes; the kernel gives each whole connections."""
    group = os.getpid() & 0xFFFF
    children: dict[int, int] = {}
    for _ in range(workers):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            for theirs in (reading, *children.values()):
                os.close(theirs)
            code = 1
            try:
                code = _child(live, group, writing)
            except BaseException:  # noqa: BLE001 - the parent's code must not go on in here; shown, and the parent fails
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        os.close(writing)
        children[pid] = reading
    stopping: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        stopping.append(number)
        for pid in children:
            os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    pipes = {pid: os.fdopen(reading) for pid, reading in children.items()}
    ready = [pipe.readline() for pipe in pipes.values()]
    if all(line == "ready\n" for line in ready):
        on_sniffing()
    report = SniffReport(Conservation())
    failed = []
    for pid, pipe in pipes.items():
        text = pipe.read()
        pipe.close()
        _, status = os.waitpid(pid, 0)
        if status or not text:
            failed.append(pid)
            for other in children:
                if other != pid and not stopping:
                    os.kill(other, signal.SIGTERM)
            stopping.append(0)
        else:
            values = json.loads(text)
            report.merge(SniffReport(**values | {"counts": Conservation.from_dict(values["counts"])}))
    if failed:
        raise RunFailed(f"--workers: {len(failed)} of {workers} processes failed; their messages are above")
    return report


def _child(live: _Live, group: int, writing: int) -> int:
    from capture.errors import UnderstudyError

    with os.fdopen(writing, "w") as pipe:

        def ready() -> None:
            pipe.write("ready\n")
            pipe.flush()

        try:
            report = _sniff(live, ready, group)
        except UnderstudyError as error:
            print(f"understudy: {error}", file=sys.stderr)  # noqa: T201 - a process of its own has no other way
            return 1
        values = dataclasses.asdict(report) | {"counts": report.counts.as_dict()}
        try:
            pipe.write(json.dumps(values))
            pipe.flush()
        except BrokenPipeError:
            print("understudy: ended because the first process was killed; the log is whole", file=sys.stderr)  # noqa: T201
            os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
    return 0
