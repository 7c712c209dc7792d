"""What `understudy log stat` says, as one document for machines and as tables for a person."""

from __future__ import annotations

from typing import Any

import click

from capture.clock import rfc3339
from capture.log.reader import Log, SegmentInfo
from capture.log.statistics import LogStatistics
from capture.log.text import bytes_text, print_table, printable

__all__ = ["print_stat", "stat_document"]

_SETTINGS_MAX = 20


def stat_document(log: Log, found: LogStatistics) -> dict[str, Any]:
    """Everything, as plain values. compression: bytes of MessagePack before, over bytes on disk, of sealed segments."""
    infos = log.segments
    sealed = [info for info in infos if info.raw_bytes is not None]
    disk = sum(info.size for info in infos)
    raw = sum(info.raw_bytes or 0 for info in sealed)
    return {
        "location": log.location,
        "segments": len(infos),
        "bytes": disk,
        "bytes_per_exchange": round(disk / found.exchanges, 1) if found.exchanges else None,
        "compression": round(raw / sum(info.size for info in sealed), 2) if raw else None,
        "encrypted": any(info.encrypted for info in infos),
        "first": None if found.first_ns is None else rfc3339(found.first_ns),
        "last": None if found.last_ns is None else rfc3339(found.last_ns),
        **found.as_dict(),
        "meta": [info.meta for info in infos[:1]],
        "settings": _settings(infos),
        "conservation": log.conservation().as_dict() if any(info.conservation for info in infos) else None,
        "conservation_unknown": sum(1 for info in infos if info.conservation is None),
        "damage": [
            {"file": item.file, "offset": item.offset, "what": item.what, "records": item.records}
            for item in log.damage
        ],
    }


def _settings(infos: list[SegmentInfo]) -> list[dict[str, Any]]:
    """How exchanges were chosen and redacted, from each change on, as the headers say; oldest first."""
    found: list[dict[str, Any]] = []
    for info in infos:
        since_ns, sampling = info.meta.get("since_ns"), info.meta.get("sampling")
        if isinstance(since_ns, int) and 0 <= since_ns < 1 << 63 and isinstance(sampling, dict):
            held = {
                "since": rfc3339(since_ns),
                "changed_by": info.meta.get("changed_by"),
                "sampling": sampling,
                "redaction": info.meta.get("redaction"),
            }
            if held not in found:
                found.append(held)
    return sorted(found, key=lambda held: str(held["since"]))


def _settings_text(held: dict[str, Any]) -> str:
    sampling, redaction = held["sampling"], held["redaction"] or {}
    return (
        f"{sampling.get('sample')} by {', '.join(map(str, sampling.get('session_key') or []))}, rare routes"
        f" x {sampling.get('rare_factor')}; redaction {redaction.get('mode')}, rules {redaction.get('rules')}, key"
        f" {redaction.get('key')}; since {held['since'][:23]} ({held['changed_by']})"
    )


def print_stat(document: dict[str, Any], routes_max: int) -> None:
    """Tables on stdout."""
    approximately = "" if document["sessions_exact"] else "about "
    pairs = [
        ("log", document["location"]),
        ("segments", f"{document['segments']}{', encrypted' if document['encrypted'] else ''}"),
        ("exchanges", f"{document['exchanges']}, standing for {document['estimated_production']} in production"),
        ("sessions", f"{approximately}{document['sessions']}"),
        ("time", f"{document['first'] or '-'} to {document['last'] or '-'}"),
        ("size", f"{bytes_text(document['bytes'])}, {document['bytes_per_exchange'] or '-'} bytes an exchange"),
        ("compression", f"{document['compression'] or '-'} times"),
        ("methods", _counts(document["methods"])),
        ("statuses", _counts(document["statuses"])),
        ("sources", _counts(document["sources"])),
        ("kept with", _counts(document["kept_with"])),
        *(("sampled", _settings_text(held)) for held in document["settings"][-_SETTINGS_MAX:]),
        ("incomplete", _counts(document["incomplete"]) or "0"),
        ("truncated, redacted", f"{document['truncated']}, {document['redacted']}"),
        ("request bodies", _sizes(document["request_body_bytes"])),
        ("response bodies", _sizes(document["response_body_bytes"])),
    ]
    for name, value in pairs:
        click.echo(f"{name:<20} {printable(value)}")
    conservation = document["conservation"]
    if conservation is not None:
        from capture.conservation import Conservation

        click.echo(Conservation.from_dict(conservation).line())
    if document["conservation_unknown"]:
        click.echo(f"{document['conservation_unknown']} segments say nothing about conservation (open, torn, imported)")
    for item in document["damage"]:
        click.echo(f"damaged: {item['file']}: byte {item['offset']}: {item['what']}")
    click.echo("")
    shown = document["routes"][:routes_max]
    rows = [(row["route"], str(row["count"]), str(row["estimated_production"])) for row in shown]
    left = len(document["routes"]) - len(shown)
    print_table("routes", ("route", "#exchanges", "#in production"), rows)
    if left:
        click.echo(f"... and {left} more routes (--routes N)")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in list(counts.items())[:20])


def _sizes(sizes: dict[str, int]) -> str:
    return (
        f"{bytes_text(sizes['total'])} in all; half below {bytes_text(sizes['p50'])}, 99 % below"
        f" {bytes_text(sizes['p99'])}, greatest {bytes_text(sizes['greatest'])}"
    )
