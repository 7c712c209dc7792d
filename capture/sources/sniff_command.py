"""`understudy capture sniff`: the command line of passive capture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.errors import UsageError
from capture.options import capture_options, capture_settings
from capture.sources.sniff import SniffReport, sniff_files, sniff_interface

__all__ = ["sniff"]


def _is_value(word: str) -> bool:
    return not word.startswith("-")


@click.command("sniff", cls=Command, drains=True, several={"--port": str.isdigit, "--pcap": _is_value})
@click.option("--interface", metavar="NAME", help="Linux interface to listen on; needs the capability CAP_NET_RAW.")
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    metavar="N...",
    help="TCP ports of the servers; with --pcap all ports by default.",
)
@click.option(
    "--pcap",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE...",
    help="Read pcap or pcapng files, plain or gzipped, instead of an interface.",
)
@click.option(
    "--merge",
    is_flag=True,
    help="The files of --pcap are parts of one capture, as of one direction each: read all in order of time.",
)
@click.option(
    "--sample-connections",
    "connections",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    metavar="P",
    help="Probability with which a connection of the interface is read at all, besides --sample; 1 by default.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    metavar="N",
    help="Processes that share the interface's packets by connection; 1 by default.",
)
@click.option(
    "--ring-mb",
    type=click.IntRange(1, 4096),
    default=128,
    metavar="N",
    help="MiB of packets that may wait to be read before the kernel drops some; 128 by default.",
)
@capture_options
@click.pass_context
def sniff(ctx: click.Context, /, **arguments: Any) -> None:
    """Capture exchanges from packets, with no part in the traffic.

    Live, prints `sniffing on NAME` once it listens, and runs until SIGTERM or SIGINT. In both ways the log is sealed
    and the conservation line printed at the end. TLS cannot be read and is counted as opaque.
    """
    interface, ports, files = arguments["interface"], arguments["ports"], arguments["files"]
    if bool(interface) == bool(files):
        raise UsageError("give either --interface NAME with --port N, or --pcap FILE")
    if interface and not ports:
        raise UsageError(f"--interface {interface}: give --port N of the servers to listen to")
    if files and (arguments["workers"] > 1 or arguments["connections"] < 1):
        raise UsageError("--workers and --sample-connections are for --interface; files are read whole, by one process")
    if interface and arguments["merge"]:
        raise UsageError("--merge is for the files of --pcap")
    settings = capture_settings(settings_of(ctx), arguments)
    if files:
        report = sniff_files(files, settings, ports, merge=arguments["merge"])
        if len(files) > 1 and not arguments["merge"] and report.counts.shed["no_request"]:
            _warn("answers without their requests: are the files parts of one capture? then --merge reads them as one")
    else:
        report = sniff_interface(
            interface,
            ports,
            settings,
            lambda: _say(f"sniffing on {interface}"),
            connections=arguments["connections"],
            workers=arguments["workers"],
            ring_mb=arguments["ring_mb"],
        )
    _notes(report)
    _say(report.counts.line())


def _notes(report: SniffReport) -> None:
    """What is not an exchange but should be known, on stderr."""
    for line in report.damaged:
        _warn(line)
    if report.kernel_drops:
        advice = "see --sample-connections, --ring-mb and --workers"
        _warn(f"the kernel dropped {report.kernel_drops} packets; {advice}")
    if report.unread:
        _warn(f"{report.unread} packets were left unread, since a second signal came")
    if report.frames and report.segments == 0:
        _warn(f"none of {report.frames} frames is of TCP that can be read")
    for reason, what in (
        ("link_type", "frames of a link type that is not read"),
        ("cut", "segments cut short by the capture's length limit"),
        ("fragment_lost", "IP fragments without the rest"),
        ("malformed", "malformed packets"),
    ):
        if report.left.get(reason):
            _warn(f"{report.left[reason]} {what}")


def _warn(line: str) -> None:
    click.echo(f"understudy: {line}", err=True)


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
