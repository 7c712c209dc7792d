"""The run directory: a manifest, and every planned request with what came of it on each build, in segments."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from capture.errors import BadInput, RunFailed
from capture.log.reader import read_records
from capture.log.segment import RecordTooLarge, RecordWriter
from capture.settings import LogConfig
from replay.done import Done
from replay.outcome import Performance

__all__ = ["FORMAT", "MANIFEST_NAME", "RECORD_KIND", "VERSION", "Run", "RunWriter", "empty_ledger", "open_run"]

FORMAT = "understudy-run"
VERSION = 1
MANIFEST_NAME = "manifest.json"
RECORD_KIND = "performance"
_SEGMENTS = "performances"
_BLOCKS_MAX = 8
_FLUSH_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def empty_ledger(builds: list[str]) -> dict[str, Any]:
    """The ledger of the contract before anything happened."""
    return {
        "planned": 0,
        "sent": 0,
        "skipped": {},
        "answered": dict.fromkeys(builds, 0),
        "failed": {name: {} for name in builds},
    }


class RunWriter:
    """Writes one run: records are encoded in the thread that performs, blocks are compressed and written in another.

    That thread seldom runs Python, so it does not take the interpreter from the one that sends and receives.

    directory: made; its parent must be there. manifest: as described in docs/run-format.md, without what only the end
    knows; it is written at once, so that a run that was killed says what it was. None where another process writes it.
    Raises RunFailed where the directory cannot be written.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any] | None, log_config: LogConfig | None = None) -> None:
        self.directory = directory
        self.manifest: dict[str, Any] = {}
        self._owns_manifest = manifest is not None
        if manifest is not None:
            self.manifest = {"format": FORMAT, "version": VERSION, **manifest, "ended": None, "partial": True}
        self.error: str | None = None
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._config = log_config or LogConfig(compact=False)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._write_manifest()
            self._writer = RecordWriter(
                directory / _SEGMENTS, Performance, RECORD_KIND, self._config, {}, elsewhere=self._steps.put
            )
        except OSError as error:
            raise RunFailed(f"{directory}: the run cannot be written: {error.strerror}") from error
        self._thread = threading.Thread(target=self._work, name="run-writer", daemon=True)
        self._thread.start()

    @property
    def clear(self) -> bool:
        """False while the disk is behind; then nothing new should begin. Raises RunFailed where it has failed."""
        if self.error is not None:
            raise RunFailed(self.error)
        return self._steps.qsize() < _BLOCKS_MAX

    def record(self, performance: Performance) -> None:
        """Take one performance; returns without waiting for the disk."""
        if self.error is not None:
            return
        at_ns = performance.outcomes[0].planned_ns if performance.outcomes else performance.exchange.times.request_start
        with self._lock:
            self._attempt(self._writer.write, performance, at_ns)

    def close(self, final: Mapping[str, Any]) -> None:
        """Write what is waiting, then the manifest with what only the end knows. Raises RunFailed."""
        if self.error is None:
            with self._lock:
                self._attempt(self._writer.close)
        self._steps.put(None)
        self._thread.join()
        self.manifest.update(final)
        if self.error is not None:
            # What was performed and could not be kept is no part of the run: its ledger is counted from the records.
            self.manifest.update(partial=True, partial_reason=self.error, ledger=None)
        with contextlib.suppress(OSError) if self.error is not None else contextlib.nullcontext():
            self._write_manifest()
        if self.error is not None:
            raise RunFailed(self.error)

    def _work(self) -> None:
        """Perform the writer's steps; see to it that no record is held back for long."""
        flush_at = time.monotonic() + _FLUSH_S
        while True:
            try:
                step = self._steps.get(timeout=max(flush_at - time.monotonic(), 0.001))
            except queue.Empty:
                flush_at = time.monotonic() + _FLUSH_S
                with self._lock:
                    self._attempt(self._writer.flush)
                continue
            if step is None:
                return
            if self.error is None:
                try:
                    self._attempt(step)
                except BaseException as error:
                    self.error = f"{self.directory}: the run cannot be written: {error!r}"
                    raise

    def _attempt(self, step: Any, *args: Any) -> None:
        try:
            step(*args)
        except OSError as error:
            advice = "; make room, then go on with it by --resume" if error.errno in _FULL else ""
            self.error = f"{self.directory}: the run cannot be written: {error.strerror}{advice}"
        except RecordTooLarge as error:
            self.error = f"{self.directory}: {error}; lower [replay] body_bytes_max"

    def _write_manifest(self) -> None:
        """Whole or not at all."""
        if not self._owns_manifest:
            return
        text = json.dumps(self.manifest, indent=2, sort_keys=True) + "\n"
        descriptor, temporary = tempfile.mkstemp(prefix=".manifest-", dir=self.directory)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.directory / MANIFEST_NAME)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


class Run:
    """A run that was read: its manifest, and its performances as a stream."""

    def __init__(self, path: Path, manifest: dict[str, Any], key: bytes | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self._key = key
        self._counted: dict[str, Any] | None = None

    @property
    def builds(self) -> list[dict[str, str]]:
        """name, role and url of each build, in the order of every performance's outcomes."""
        return list(self.manifest["builds"])

    @property
    def partial(self) -> bool:
        """True where the run did not come to its end: interrupted, killed, or out of disk."""
        return bool(self.manifest["partial"])

    @property
    def ledger(self) -> dict[str, Any]:
        """planned, sent, skipped, answered, failed, as the contract has them.

        As the manifest says, or counted from the records where the run was killed before it could say.
        """
        if self.manifest.get("ledger") is not None:
            return dict(self.manifest["ledger"])
        if self._counted is None:
            self._counted = self.count()
        return self._counted

    def count(self) -> dict[str, Any]:
        """The ledger, counted from the records."""
        return _count(self.performances(), [build["name"] for build in self.builds])

    def performances(self) -> Iterator[Performance]:
        """Every planned request once, in the order of completion, read in bounded memory.

        Where a share was performed twice, because the process that did it was thought to be dead, the first one counts.
        """
        if not (self.path / _SEGMENTS).is_dir():
            return
        seen = Done()
        for performance in read_records(self.path / _SEGMENTS, Performance, RECORD_KIND, key=self._key):
            key = (performance.iteration, performance.position)
            if key not in seen:
                seen.add(*key)
                yield performance


def open_run(path: Path | str, *, key: bytes | None = None) -> Run:
    """Open the run at `path`. Raises BadInput, one line, where there is none or it is of a newer version."""
    directory = Path(path)
    place = directory / MANIFEST_NAME
    try:
        manifest = json.loads(place.read_bytes())
    except FileNotFoundError:
        what = "not a run (no manifest.json)" if directory.is_dir() else "no such run"
        raise BadInput(f"{path}: {what}; name the directory that was given as --run") from None
    except (ValueError, OSError, RecursionError) as error:
        raise BadInput(f"{place}: cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BadInput(f"{place}: not the manifest of a run")
    version = manifest.get("version")
    if not isinstance(version, int) or version < 1:
        raise BadInput(f"{place}: version {version!r} is not one of a run")
    if version > VERSION:
        raise BadInput(
            f"{place}: a run of version {version}, this program reads up to {VERSION}; use a newer understudy"
        )
    builds = manifest.get("builds")
    if not isinstance(builds, list) or not all(isinstance(build, dict) and "name" in build for build in builds):
        raise BadInput(f"{place}: the list of builds is missing")
    manifest.setdefault("partial", True)
    return Run(directory, manifest, key)


def _count(performances: Iterator[Performance], names: list[str]) -> dict[str, Any]:
    ledger = empty_ledger(names)
    skipped: Counter[str] = Counter()
    failed: dict[str, Counter[str]] = {name: Counter() for name in names}
    for performance in performances:
        ledger["planned"] += 1
        if performance.skipped is not None:
            skipped[performance.skipped] += 1
            continue
        ledger["sent"] += 1
        for outcome in performance.outcomes:
            if outcome.failure is None:
                ledger["answered"][outcome.build] += 1
            else:
                failed[outcome.build][outcome.failure.kind] += 1
    ledger["skipped"] = dict(sorted(skipped.items()))
    ledger["failed"] = {name: dict(sorted(kinds.items())) for name, kinds in failed.items()}
    return ledger
