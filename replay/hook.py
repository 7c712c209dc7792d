"""Hooks: a person's own Python function that signs the requests to one build, for schemes that a header cannot hold."""

from __future__ import annotations

import importlib
import importlib.util
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from capture.errors import UsageError
from capture.exchange import Request

__all__ = ["Hook", "HookFailed", "load_hook", "resolved_hook", "signed"]

Hook: TypeAlias = Callable[[str, str, Sequence[tuple[str, str]], bytes], Mapping[str, str | None]]
"""hook(method, target, headers, body) -> headers by name; None as a value leaves a header out.

Called in the replay's loop, once for each request to its build, with what is about to be sent: values bound, Host and
injected headers in place, the body as it goes out. What it returns takes the place of headers of these names, or is
appended. It must be quick, and must not wait; after _SECONDS_MAX it is interrupted, where it runs in the main thread.
"""

_SECONDS_MAX = 5.0

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_FRAMING = frozenset(("content-length", "transfer-encoding", "connection"))


class HookFailed(Exception):
    """The hook raised, did not return, or returned what cannot be sent; str() is one line that says which.

    overdue: it did not return.
    """

    overdue = False


class _Overdue(BaseException):
    """Raised in a hook that does not return; no Exception, so that the hook does not take it for its own."""


def resolved_hook(spec: str, where: str, base: Path) -> str:
    """`spec` with a path made absolute, so that other processes find the same file. base: what it is relative to.

    spec: "package.module:function", or "path/to/file.py:function". Raises UsageError where it is neither.
    """
    module, colon, function = spec.rpartition(":")
    if not colon or not module or not function.isidentifier():
        raise UsageError(f"{where}: {spec!r} is no hook; write 'package.module:function' or 'path/to/file.py:function'")
    if not module.endswith(".py"):
        return spec
    path = (base / Path(module).expanduser()).resolve()
    if not path.is_file():
        raise UsageError(f"{where}: there is no file {path}")
    return f"{path}:{function}"


def load_hook(spec: str, where: str) -> Hook:
    """The function that a resolved spec names; imports its module. Raises UsageError where that does not work."""
    source, _, name = spec.rpartition(":")
    try:
        module = _from_file(source) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # the module is a person's own code and may raise anything
        raise UsageError(f"{where}: {source} cannot be imported: {_line(error)}") from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"{where}: {source} has no function {name!r}")
    hook: Hook = function
    return hook


def _from_file(path: str) -> Any:
    name = "understudy_hook_" + re.sub(r"\W", "_", path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their own module up
    spec.loader.exec_module(module)
    return module


def signed(hook: Hook, request: Request) -> tuple[Request, tuple[str, ...]]:
    """The request with the headers that the hook returns, and their names. Raises HookFailed."""
    try:
        returned = _bounded(hook, request)
        items = list(returned.items()) if isinstance(returned, Mapping) else None
    except _Overdue:
        problem = HookFailed(f"it had not returned after {_SECONDS_MAX:g} s")
        problem.overdue = True
        raise problem from None
    except (Exception, SystemExit) as error:  # the hook is a person's own code and may raise anything
        raise HookFailed(_line(error)) from error
    if items is None:
        raise HookFailed(f"it returned {type(returned).__name__} and not a mapping of header names to values")
    headers = list(request.headers)
    for name, value in items:
        headers = _put(headers, name, _checked(name, value))
    names = tuple(name for name, _ in items)
    return Request(
        request.method, request.target, request.version, tuple(headers), request.body, request.body_bytes, False,
        request.trailers,
    ), names  # fmt: skip


def _bounded(hook: Hook, request: Request) -> Any:
    """What the hook returns. An alarm interrupts it, also where it sleeps or waits for a socket."""
    try:
        handler = signal.signal(signal.SIGALRM, _raise_overdue)
    except ValueError:  # not the main thread, which alone can be interrupted
        return hook(request.method, request.target, request.headers, request.body or b"")
    left, interval = signal.setitimer(signal.ITIMER_REAL, _SECONDS_MAX)
    try:
        return hook(request.method, request.target, request.headers, request.body or b"")
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, handler)


def _raise_overdue(_number: int, _frame: object) -> None:
    raise _Overdue


def _checked(name: Any, value: Any) -> str | None:
    if not isinstance(name, str) or not _NAME.match(name) or name.lower() in _FRAMING:
        raise HookFailed(f"it returned a header named {name!r:.40}, which it must not set")
    if value is None:
        return None
    if not isinstance(value, str) or re.search(r"[\x00\r\n]", value) or not value.isascii():
        raise HookFailed(f"it returned a value for {name} that is not one line of ASCII text")
    return value


def _put(headers: list[tuple[str, str]], name: str, value: str | None) -> list[tuple[str, str]]:
    """In the place of the first header of that name, in its spelling; others of that name go."""
    lower = name.lower()
    at = next((index for index, (key, _) in enumerate(headers) if key.lower() == lower), -1)
    if at < 0:
        return headers if value is None else [*headers, (name, value)]
    rest = [pair for index, pair in enumerate(headers) if index == at or pair[0].lower() != lower]
    at = next(index for index, (key, _) in enumerate(rest) if key.lower() == lower)
    rest[at : at + 1] = [] if value is None else [(rest[at][0], value)]
    return rest


def _line(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
