"""Route templates from the description of an API: OpenAPI 3 (or Swagger 2), in JSON or YAML. Pure.

Only the paths and the servers before them are read; nothing is fetched, and no reference is followed, because a path's
name stands in the document itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from capture.errors import BadInput

__all__ = ["OPENAPI_BYTES_MAX", "templates_of"]

OPENAPI_BYTES_MAX = 32 << 20
_TEMPLATES_MAX = 100_000
_DEPTH_MAX = 200


def templates_of(text: bytes, where: str) -> tuple[str, ...]:
    """The paths of a description, each below every server's own path and by itself, in the order of the document.

    A gateway may take the server's path off before the captured service sees the request, so both are routes.
    where: how messages name the file. Raises BadInput, one line, where it is no such description.
    """
    document = _decoded(text, where)
    if not isinstance(document, Mapping):
        raise BadInput(f"{where}: not an OpenAPI description: it has no keys at its top")
    version = document.get("openapi", document.get("swagger"))
    if not str(version).startswith(("3.", "2.")):
        said = "without `openapi: 3...` at its top" if version is None else f"of version {str(version)[:40]!r}"
        raise BadInput(f"{where}: a document {said}; OpenAPI 3 (or Swagger 2) is read")
    paths = document.get("paths") or {}
    if not isinstance(paths, Mapping):
        raise BadInput(f"{where}: its `paths` is not a table of paths")
    bases = _bases(document)
    found: dict[str, None] = {}
    for path, item in paths.items():
        if not isinstance(path, str) or not path.startswith("/"):
            continue  # x-... extensions
        own = _bases(item) if isinstance(item, Mapping) and item.get("servers") else bases
        found.update(dict.fromkeys(base + path for base in [*own, ""]))
        if len(found) > _TEMPLATES_MAX:
            raise BadInput(f"{where}: has more than {_TEMPLATES_MAX} paths")
    if not found:
        raise BadInput(f"{where}: describes no path; name a description with `paths`")
    return tuple(found)


def _bases(table: Mapping[Any, Any]) -> list[str]:
    """The path of each server, without the slash at its end; variables take their defaults."""
    bases = []
    if isinstance(table.get("basePath"), str):  # Swagger 2
        bases.append(table["basePath"])
    servers = table.get("servers")
    for server in servers if isinstance(servers, list) else ():
        if not isinstance(server, Mapping) or not isinstance(server.get("url"), str):
            continue
        url = server["url"]
        variables = server.get("variables")
        for name, variable in variables.items() if isinstance(variables, Mapping) else ():
            if isinstance(variable, Mapping):
                url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
        try:
            path = urlsplit(url).path
        except ValueError:
            continue
        bases.append(path if path.startswith("/") else "")
    return [base.rstrip("/") for base in bases]


def _decoded(text: bytes, where: str) -> Any:
    if len(text) > OPENAPI_BYTES_MAX:
        raise BadInput(f"{where}: longer than {OPENAPI_BYTES_MAX} bytes, which no description of an API is")
    try:
        if text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            return msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # YAML may begin with a brace as well; if it is not that either, its reader says where it is wrong.
    try:
        import yaml
    except ImportError:
        raise BadInput(
            f"{where}: not JSON, and reading YAML needs the extra: pip install 'understudy[openapi]'"
        ) from None
    # The safe loader makes plain values alone; aliases are shared, not copied, so they cannot multiply.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            # libyaml's composer recurses without a bound of its own.
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH_MAX:
                raise ValueError(f"nested deeper than {_DEPTH_MAX}")
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{where}: neither JSON nor YAML: {' '.join(str(error).split())[:200]}") from None
