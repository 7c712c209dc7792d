"""Routes from the description of an API, in JSON and YAML."""

from __future__ import annotations

import json
import sys

import pytest

from capture.errors import BadInput
from diff.openapi import templates_of

YAML = b"""\
openapi: 3.1.0
info: {title: Pets, version: "1"}
servers:
  - url: https://api.example.com/{stage}/v1/
    variables: {stage: {default: live}}
  - url: /beta
paths:
  /pets: {get: {responses: {"200": {description: ok}}}}
  /pets/{id}:
    $ref: "#/components/pathItems/pet"
  /health:
    servers: [{url: "https://status.example.com"}]
  x-note: not a path
"""


def test_every_path_is_a_template_below_every_server_and_by_itself() -> None:
    assert templates_of(YAML, "api.yaml") == (
        "/live/v1/pets", "/beta/pets", "/pets", "/live/v1/pets/{id}", "/beta/pets/{id}", "/pets/{id}", "/health",
    )  # fmt: skip


def test_json_and_its_older_relatives_are_read() -> None:
    three = json.dumps({"openapi": "3.0.3", "paths": {"/a/{b}": {}}}).encode()
    assert templates_of(three, "api.json") == ("/a/{b}",)
    assert templates_of(b"\xef\xbb\xbf" + three, "api.json") == ("/a/{b}",)
    two = json.dumps({"swagger": "2.0", "basePath": "/v2/", "paths": {"/a": {}}}).encode()
    assert templates_of(two, "api.json") == ("/v2/a", "/a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no keys at its top"),
        (b"[1]", "has no keys at its top"),
        (b"{}", "without `openapi: 3...` at its top"),
        (b"openapi: 4.0.0\npaths: {/a: {}}", "of version '4.0.0'"),
        (b"openapi: 3.0.0\npaths: [1]", "not a table of paths"),
        (b"openapi: 3.0.0\npaths: {x-a: {}}", "describes no path"),
        (b"openapi: 3.0.0\n  paths: : {", "neither JSON nor YAML.*line 2"),
        (b'{"openapi": "3.0.0", "paths": {', "neither JSON nor YAML"),
        (b"\xff\xfe\x00", "neither JSON nor YAML"),
        (b"[" * 100_000, "neither JSON nor YAML"),
        (b"!!python/object/apply:os.system [id]", "neither JSON nor YAML"),
        (b'{"openapi": "3.0.0", "servers": [1, {"url": 2}, {"url": "http://[bad"}], "paths": 1}', "not a table"),
    ],
)
def test_what_is_no_description_is_refused_in_one_line(text: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        templates_of(text, "api.yaml")
    assert "\n" not in str(error.value)


def test_aliases_that_would_multiply_do_not() -> None:
    layers = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    layers += [f"{n}: &{n} [{', '.join(['*' + p] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)]
    text = "\n".join(["openapi: 3.0.0", *layers, "paths: {/a: *i}"]).encode()
    assert templates_of(text, "api.yaml") == ("/a",)


def test_without_a_reader_of_yaml_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BadInput, match=r"pip install 'understudy\[openapi\]'"):
        templates_of(YAML, "api.yaml")
