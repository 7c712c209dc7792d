"""`understudy capture`: the group of the sources, each imported only when it is called."""

from __future__ import annotations

import importlib.util

import click

from capture.cli import Group

__all__ = ["capture"]

_SOURCES = {
    "relay": ("capture.sources.relay.command", "relay", "A byte relay beside a service: the sidecar."),
    "mitm": ("capture.sources.mitm_command", "mitm", "mitmproxy in any of its modes: TLS, HTTP/2, forward proxies."),
    "sniff": ("capture.sources.sniff_command", "sniff", "Packets of an interface or of capture files."),
    "mirror": ("capture.sources.mirror_command", "mirror", "A sink for requests that other proxies mirror."),
    "rules": ("capture.rules_command", "rules", "Try the redaction rules on a file: what would be kept."),
}


def _there() -> dict[str, tuple[str, str, str]]:
    """The sources whose module is installed, so that the help never names what cannot be called."""
    return {name: entry for name, entry in _SOURCES.items() if importlib.util.find_spec(entry[0]) is not None}


@click.group(cls=Group, lazy=_there())
def capture() -> None:
    """Capture requests and their responses into a log."""
