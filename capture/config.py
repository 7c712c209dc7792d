"""Configuration: `understudy.toml`, the environment, and flags, into typed frozen dataclasses.

A flag wins over the environment `UNDERSTUDY_<SECTION>_<KEY>`, which wins over the file, which wins over the default.
Each room describes its sections as frozen dataclasses and registers them in a `SECTIONS` mapping; the front door checks
the whole file against all of them before a command starts, so a misspelt key is never silently without effect.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from capture.errors import BadInput, UsageError

__all__ = ["CONFIG_NAME", "Settings", "build", "check_known", "nearest", "read_settings"]

CONFIG_NAME = "understudy.toml"
_PREFIX = "UNDERSTUDY_"
_OF_THE_BUILD = "UNDERSTUDY_COMPILE"
"""Says how to install; whoever exported it for that has it in the environment of every command."""
_T = TypeVar("_T")
_CALLED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    tuple: "a list",
    Mapping: "a table",
    dict: "a table",
    typing.Literal: "one of its words",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What was said in the file and the environment, not yet typed.

    where: how the file is named in messages. tables: the parsed TOML. environ: the UNDERSTUDY_ variables alone.
    """

    where: str = CONFIG_NAME
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def table(self, section: str) -> Mapping[str, Any]:
        """The table of that name, {} where the file has none. Raises UsageError where it is not a table."""
        value = self.tables.get(section, {})
        if not isinstance(value, Mapping):
            raise UsageError(f"{self.where}: [{section}] must be a table, found {type(value).__name__}")
        return value


def read_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the given file, or `understudy.toml` in the working directory where one lies; {} without one.

    Raises BadInput where a file that was named is not there or any file is not TOML.
    """
    wanted = {key: value for key, value in environ.items() if key.startswith(_PREFIX) and key != _OF_THE_BUILD}
    source = path if path is not None else Path(CONFIG_NAME)
    try:
        with source.open("rb") as file:
            tables = tomllib.load(file)
    except FileNotFoundError:
        if path is not None:
            raise BadInput(f"{path}: no such configuration file; name one that exists or leave --config out") from None
        tables = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{source}: not valid TOML: {error}") from None
    except OSError as error:
        raise BadInput(f"{source}: cannot be read: {error.strerror}") from None
    return Settings(str(source), tables, wanted)


def nearest(word: str, known: list[str]) -> str:
    """'; did you mean NAME?' or the list of what is known, for the end of a message."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(sorted(known))}"


def check_known(settings: Settings, sections: Mapping[str, type | None]) -> None:
    """Refuse sections and keys that no room knows.

    sections: section name to its dataclass; None where the section's own reader checks its keys (lists of rules,
    tables with free names). Raises UsageError naming the nearest known one.
    """
    for name, value in settings.tables.items():
        if name not in sections:
            raise UsageError(f"{settings.where}: unknown section [{name}]; {nearest(name, list(sections))}")
        kind = sections[name]
        if kind is None:
            continue
        if not isinstance(value, Mapping):
            raise UsageError(f"{settings.where}: [{name}] must be a table, found {type(value).__name__}")
        _check_keys(settings.where, name, value, kind)
    for variable in settings.environ:
        section, _, key = variable.removeprefix(_PREFIX).lower().partition("_")
        kind = sections.get(section)
        if section not in sections:
            raise UsageError(f"environment {variable}: unknown section {section!r}; {nearest(section, list(sections))}")
        if not key:
            raise UsageError(f"environment {variable}: names no key; write {_PREFIX}{section.upper()}_<KEY>")
        if kind is not None:
            _check_keys(f"environment {variable}", section, {key: None}, kind)


def _check_keys(where: str, section: str, table: Mapping[str, Any], kind: type) -> None:
    known = [field.name for field in dataclasses.fields(kind)]
    for key in table:
        if key.replace("-", "_") not in known:
            raise UsageError(f"{where}: unknown key {key!r} in [{section}]; {nearest(key, known)}")


def build(kind: type[_T], section: str, settings: Settings, flags: Mapping[str, Any] | None = None) -> _T:
    """One typed config of `kind` from defaults, file, environment and flags.

    flags: values from the command line by field name; None means not given. Raises UsageError naming the place of a
    value that has the wrong type or that the dataclass's __post_init__ refuses (it raises ValueError).
    """
    hints = typing.get_type_hints(kind)
    table = {key.replace("-", "_"): value for key, value in settings.table(section).items()}
    _check_keys(settings.where, section, table, kind)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        name = field.name
        variable = f"{_PREFIX}{section}_{name}".upper()
        flag = (flags or {}).get(name)
        if flag is not None:
            places[name] = f"--{name.replace('_', '-')}"
            values[name] = _typed(flag, hints[name], places[name])
        elif variable in settings.environ:
            places[name] = f"environment {variable}"
            values[name] = _from_text(settings.environ[variable], hints[name], places[name])
        elif name in table:
            places[name] = f"{settings.where}: [{section}] {name}"
            values[name] = _typed(table[name], hints[name], places[name])
    try:
        return kind(**values)
    except ValueError as error:
        name = str(error).split(" ", 1)[0].strip("`'\":")
        raise UsageError(f"{places.get(name, settings.where + f': [{section}]')}: {error}") from None


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _typed(value: Any, hint: Any, place: str) -> Any:
    for kind in _alternatives(hint):
        origin = get_origin(kind)
        if kind is Any or (kind is type(None) and value is None):
            return value
        if origin is typing.Literal:
            if value in get_args(kind):
                return value
            if isinstance(value, str):
                raise UsageError(f"{place}: {value!r} is not known; {nearest(value, [str(k) for k in get_args(kind)])}")
        elif origin is tuple and isinstance(value, list | tuple):
            return tuple(_typed(item, get_args(kind)[0], place) for item in value)
        elif origin is not None and isinstance(value, Mapping):
            return dict(value)
        elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif kind is Path and isinstance(value, str | Path):
            return Path(value)
        elif kind in (int, str, bool) and type(value) is kind:
            return value
    raise UsageError(f"{place}: expected {_wanted(hint)}, found {value!r}")


def _wanted(hint: Any) -> str:
    """What a value of that type is called by who writes a configuration."""
    kinds = [get_origin(kind) or kind for kind in _alternatives(hint) if kind is not type(None)]
    return " or ".join(_CALLED.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds)


def _from_text(text: str, hint: Any, place: str) -> Any:
    for kind in _alternatives(hint):
        if kind is bool and text.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
            return text.lower() in ("1", "true", "yes", "on")
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        if get_origin(kind) is tuple:
            return _typed([part.strip() for part in text.split(",") if part.strip()], kind, place)
        if kind in (str, Path) or get_origin(kind) is typing.Literal:
            return _typed(text, kind, place)
    raise UsageError(f"{place}: {text!r} is not {_wanted(hint)}")
