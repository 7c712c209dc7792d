"""`understudy compare` as a person and a script meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capture.errors import BadInput, UnderstudyError
from diff.compare_command import compare
from tests.support.protobuf import descriptor_set, field


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def two(left: bytes, right: bytes, suffix: str = "") -> tuple[str, str]:
    names = f"left{suffix}", f"right{suffix}"
    for name, body in zip(names, (left, right), strict=True):
        Path(name).write_bytes(body)
    return names


def test_equal_bodies_print_an_empty_array_and_exit_0(run: CliRunner) -> None:
    result = run.invoke(compare, [*two(b'{"a":1,"b":2}', b'{"b": 2.0, "a": 1}'), "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert run.invoke(compare, two(b"x", b"x")).stdout == "equal\n"


def test_different_bodies_print_each_difference_and_exit_1(run: CliRunner) -> None:
    result = run.invoke(compare, [*two(b'{"a":[1],"b":null}', b'{"a":[2],"c":"\\ud800"}'), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {"path": "$['a'][0]", "kind": "value", "left": 1, "right": 2},
        {"path": "$['b']", "kind": "missing", "left": None, "right": None},
        {"path": "$['c']", "kind": "extra", "left": None, "right": r"\ud800"},
    ]


def test_text_for_a_person_has_nothing_that_steers_a_terminal(run: CliRunner) -> None:
    result = run.invoke(compare, two(b'{"a":"\\u001b[31m\\u202e"}', b'{"\\u001b]0;x":1}'))
    assert result.exit_code == 1
    assert result.stdout == ("$['a']  missing  \"\\u001b[31m\\u202e\"\n$['\\u001b]0;x']  extra  1\n")


def test_a_long_value_is_shortened_for_a_person_and_says_so(run: CliRunner) -> None:
    result = run.invoke(compare, two(b'["%s"]' % (b"x" * 5000), b"[1]"))
    assert "… -> 1" in result.stdout


def test_numbers_can_be_strict(run: CliRunner) -> None:
    files = two(b"[1]", b"[1.0]")
    assert run.invoke(compare, files).exit_code == 0
    assert run.invoke(compare, [*files, "--strict-numbers"]).exit_code == 1


def test_the_type_comes_from_the_option_else_the_name_else_the_content(run: CliRunner) -> None:
    files = two(b"b=2&a=1", b"a=1&b=2")
    assert run.invoke(compare, files).exit_code == 1
    assert run.invoke(compare, [*files, "--type", "application/x-www-form-urlencoded"]).exit_code == 0
    assert run.invoke(compare, two(b"<p class='b a'>x", b'<p class="a b">x\n', ".html")).exit_code == 0


def test_notes_and_limits_go_to_stderr(run: CliRunner) -> None:
    result = run.invoke(compare, [*two(b'{"a":1,"a":2}', b'{"a":2}'), "--json"])
    assert result.stderr == "compare: an object has the same key more than once (left)\n"
    assert [row["kind"] for row in json.loads(result.stdout)] == ["missing"]


@pytest.mark.parametrize(
    ("name", "why"), [("gone", "cannot be read: No such file or directory"), (".", "is a directory")]
)
def test_a_file_that_cannot_be_read_is_two_lines_and_exit_2(run: CliRunner, name: str, why: str) -> None:
    Path("there").write_bytes(b"1")
    result: Result = run.invoke(compare, ["there", name])
    assert isinstance(result.exception, BadInput)
    assert result.exception.exit_code == 2
    assert str(result.exception) == f"{name}: {why}\ncompare takes two files, each with one body"


def test_protobuf_is_compared_by_names_with_a_descriptor_set(run: CliRunner) -> None:
    Path("shop.desc").write_bytes(descriptor_set())
    arguments = [*two(field(1, 5), field(1, 6)), "--json", "--descriptor-set", "shop.desc", "--message", "shop.Order"]
    assert json.loads(run.invoke(compare, arguments).stdout) == [
        {"path": "$['id']", "kind": "value", "left": 5, "right": 6}
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--message", "shop.Order"],
            "--message shop.Order: its type is not known\ngive --descriptor-set FILE as well",
        ),
        (["--descriptor-set", "shop.desc", "--message", "shop.Ordr"], "did you mean 'shop.Order'?"),
        (["--descriptor-set", "empty"], "empty: a descriptor set without messages\nmake one with protoc"),
        (["--descriptor-set", "left"], "left: not a descriptor set"),
        (["--descriptor-set", "gone"], "gone: cannot be read"),
    ],
)
def test_a_wrong_descriptor_set_is_said_in_two_lines(run: CliRunner, options: list[str], said: str) -> None:
    Path("shop.desc").write_bytes(descriptor_set())
    Path("empty").write_bytes(b"")
    result = run.invoke(compare, [*two(b"\xff", b"\xfe"), *options])
    assert isinstance(result.exception, UnderstudyError)
    assert result.exception.exit_code == 2
    assert said in str(result.exception)
    assert str(result.exception).count("\n") == 1


def test_texts_that_no_encoding_has_can_be_told_apart(run: CliRunner) -> None:
    for left, right, shown in (
        (b'{"a":"\\ud800"}', b'{"a":"\\ud801"}', [r"\ud800", r"\ud801"]),
        (b'{"a":"\xff"}', b'{"a":"\xfe"}', [r"\udcff", r"\udcfe"]),
    ):
        (row,) = json.loads(run.invoke(compare, [*two(left, right), "--json"]).stdout)
        assert [row["left"], row["right"]] == shown
        assert shown[0].strip('"') in run.invoke(compare, two(left, right)).stdout.replace("\\\\", "\\")


def form(boundary: str, value: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{value}\r\n--{boundary}--\r\n'.encode()


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=X"])
def test_two_multipart_bodies_have_each_its_own_boundary(run: CliRunner, content_type: str) -> None:
    result = run.invoke(compare, [*two(form("X", "1"), form("Y", "2")), "--json", "--type", content_type])
    assert json.loads(result.stdout) == [{"path": "$['a']", "kind": "value", "left": "1", "right": "2"}]
    assert run.invoke(compare, [*two(form("X", "1"), form("Y", "1")), "--type", content_type]).exit_code == 0


def test_what_begins_with_no_boundary_has_the_one_that_was_said(run: CliRunner) -> None:
    files = two(b"intro\r\n" + form("X", "1"), form("X", "2"))
    result = run.invoke(compare, [*files, "--json", "--type", "multipart/form-data; boundary=X"])
    assert [row["path"] for row in json.loads(result.stdout)] == ["$['a']"]
