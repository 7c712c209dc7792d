"""Configuration: precedence, types, and refusals that name the place and the nearest known key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from capture.config import Settings, build, check_known, nearest, read_settings
from capture.errors import BadInput, UsageError


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    share: float = 1.0
    keys: tuple[str, ...] = ("client",)
    mode: Literal["off", "default"] = "default"
    limit: int | None = None
    quiet: bool = False
    place: Path | None = None

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError(f"share must be at most 1, found {self.share}")


def test_the_default_holds_where_nothing_is_said() -> None:
    assert build(Sample, "sample", Settings()) == Sample()


def test_a_flag_wins_over_the_environment_which_wins_over_the_file() -> None:
    settings = Settings("u.toml", {"sample": {"share": 0.1, "limit": 1}}, {"UNDERSTUDY_SAMPLE_SHARE": "0.2"})
    assert build(Sample, "sample", settings).share == 0.2
    assert build(Sample, "sample", settings, {"share": 0.3}).share == 0.3
    assert build(Sample, "sample", settings, {"share": None}).limit == 1


def test_environment_text_is_read_as_the_type_of_the_field() -> None:
    environ = {
        "UNDERSTUDY_SAMPLE_KEYS": "cookie:sid, client",
        "UNDERSTUDY_SAMPLE_LIMIT": "7",
        "UNDERSTUDY_SAMPLE_QUIET": "yes",
        "UNDERSTUDY_SAMPLE_PLACE": "/tmp/x",
        "UNDERSTUDY_SAMPLE_MODE": "off",
    }
    assert build(Sample, "sample", Settings(environ=environ)) == Sample(
        keys=("cookie:sid", "client"), limit=7, quiet=True, place=Path("/tmp/x"), mode="off"
    )


def test_a_dash_in_a_key_of_the_file_is_the_underscore_of_the_field() -> None:
    @dataclasses.dataclass(frozen=True)
    class Dashed:
        body_bytes: int = 0

    assert build(Dashed, "x", Settings("u.toml", {"x": {"body-bytes": 3}})).body_bytes == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"share": "much"}, "u.toml: [sample] share: expected a number, found 'much'"),
        ({"quiet": 1}, "u.toml: [sample] quiet: expected true or false, found 1"),
        ({"mode": "of"}, "u.toml: [sample] mode: 'of' is not known; did you mean 'off'?"),
        ({"share": 2}, "u.toml: [sample] share: share must be at most 1, found 2.0"),
        ({"shrae": 1}, "u.toml: unknown key 'shrae' in [sample]; did you mean 'share'?"),
        ({"keys": "client"}, "u.toml: [sample] keys: expected a list, found 'client'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(table: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(Sample, "sample", Settings("u.toml", {"sample": table}))
    assert str(caught.value) == message


def test_a_number_that_is_not_one_in_the_environment_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match="environment UNDERSTUDY_SAMPLE_SHARE: 'half'"):
        build(Sample, "sample", Settings(environ={"UNDERSTUDY_SAMPLE_SHARE": "half"}))


def test_unknown_sections_and_keys_are_refused_with_the_nearest_known() -> None:
    known: dict[str, type | None] = {"sample": Sample, "rules": None}
    check_known(Settings("u.toml", {"sample": {"share": 1}, "rules": [{"free": 1}]}), known)
    with pytest.raises(UsageError, match=r"unknown section \[smaple\]; did you mean 'sample'"):
        check_known(Settings("u.toml", {"smaple": {}}), known)
    with pytest.raises(UsageError, match="unknown key 'limits' in"):
        check_known(Settings("u.toml", {"sample": {"limits": 1}}), known)
    with pytest.raises(UsageError, match="environment UNDERSTUDY_SAMPEL_SHARE: unknown section 'sampel'"):
        check_known(Settings(environ={"UNDERSTUDY_SAMPEL_SHARE": "1"}), known)
    with pytest.raises(UsageError, match="environment UNDERSTUDY_SAMPLE: names no key; write UNDERSTUDY_SAMPLE_<KEY>"):
        check_known(Settings(environ={"UNDERSTUDY_SAMPLE": "1"}), known)
    with pytest.raises(UsageError, match="must be a table"):
        check_known(Settings("u.toml", {"sample": 3}), known)


def test_a_file_that_was_named_and_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such configuration file"):
        read_settings(tmp_path / "none.toml", {})


def test_no_file_in_the_working_directory_is_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(None, {"UNDERSTUDY_LOG_X": "1", "HOME": "/"}) == Settings(
        "understudy.toml", {}, {"UNDERSTUDY_LOG_X": "1"}
    )


@pytest.mark.parametrize("content", [b"= 1", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "u.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not valid TOML"):
        read_settings(path, {})


def test_nearest_lists_what_is_known_where_nothing_is_near() -> None:
    assert nearest("zzz", ["log", "diff"]) == "known are: diff, log"


def test_the_variable_that_compiles_at_installation_is_no_setting() -> None:
    environ = {"UNDERSTUDY_COMPILE": "1", "UNDERSTUDY_SAMPLE_SHARE": "0.5", "HOME": "/"}
    settings = read_settings(None, environ)
    assert settings.environ == {"UNDERSTUDY_SAMPLE_SHARE": "0.5"}
    check_known(settings, {"sample": Sample})
