"""How often each share of a run was begun."""

from __future__ import annotations

from pathlib import Path

from replay.run_attempts import again, begin, clear


def test_only_what_was_begun_more_than_once_is_named(tmp_path: Path) -> None:
    for index in (0, 11, 1, 11, 2, 0, 11):
        begin(tmp_path, index)
    assert again(tmp_path) == [{"share": 1, "attempts": 2}, {"share": 12, "attempts": 3}]
    clear(tmp_path)
    assert again(tmp_path) == [] == list(tmp_path.iterdir())
