"""`understudy log compact`: sealed segments rewritten for size."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from capture.cli import Command
from capture.errors import RunFailed, UsageError
from capture.log.appender import SEALED_SUFFIX
from capture.log.budget import segment_files
from capture.log.commands import log_key, print_json
from capture.log.reader import open_log
from capture.log.rewrite import rewrite
from capture.log.store import is_url
from capture.log.text import bytes_text

__all__ = ["compact"]

_USUAL = ("rewritten before", "empty", "it would not be smaller", "pruned meanwhile")


@click.command("compact", cls=Command)
@click.argument("directory", metavar="DIR")
@click.option("--again", is_flag=True, help="Also segments that were rewritten before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
@click.option(
    "--log-key-file",
    type=click.Path(path_type=Path),
    default=None,
    help="File with the key of an encrypted log; else UNDERSTUDY_LOG_KEY.",
)
def compact(directory: str, again: bool, as_json: bool, log_key_file: Path | None) -> None:
    """Rewrite sealed segments for size: the same exchanges with the same ids, often a third of the bytes.

    Capture does so by itself while it has time. Segments that are being written or damaged stay as they are.
    """
    if is_url(directory):
        raise UsageError(f"compact: {directory}: works on a local directory; compact the log there before it is copied")
    key = log_key(log_key_file)
    open_log(directory, key=key).close()  # says what is wrong with the directory or the key before anything is done
    done = []
    for path, _ in segment_files(Path(directory)):
        if path.suffix != SEALED_SUFFIX:
            continue
        try:
            done.append(rewrite(path, key, again=again))
        except FileNotFoundError:
            continue  # pruned a moment ago
        except OSError as error:
            raise RunFailed(f"{path}: cannot be rewritten: {error.strerror}") from None
        if not as_json and done[-1].why_not is None:
            click.echo(f"{done[-1].name}: {bytes_text(done[-1].before)} to {bytes_text(done[-1].after)}")
        elif not as_json and done[-1].why_not not in _USUAL:
            click.echo(f"{done[-1].name}: not rewritten: {done[-1].why_not}", err=True)
    if as_json:
        print_json({"segments": [asdict(item) for item in done]})
        return
    changed = [item for item in done if item.why_not is None]
    before, after = sum(item.before for item in changed), sum(item.after for item in changed)
    click.echo(f"{len(changed)} of {len(done)} segments rewritten, {before} bytes to {after}")
