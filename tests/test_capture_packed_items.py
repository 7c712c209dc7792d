"""Texts and integers of packed bodies are found with their paths, and replaced without touching the rest."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.packed.cbor import CBOR
from capture.packed.items import Broken, Format, Kind, Path, find_items, splice_items
from capture.packed.messagepack import MESSAGEPACK
from tests.support.cbor import cbor

FORMATS = [pytest.param(MESSAGEPACK, msgpack.packb, id="msgpack"), pytest.param(CBOR, cbor, id="cbor")]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=40,
)


def leaves(value: Any, path: Path = ()) -> dict[Path, str]:
    """What of a document has a place, by another walk than the one that is tested."""
    if isinstance(value, dict):
        return {at: text for key, item in value.items() for at, text in leaves(item, (*path, key)).items()}
    if isinstance(value, list):
        return {at: text for n, item in enumerate(value) for at, text in leaves(item, (*path, n)).items()}
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return {}
    return {path: str(value)}


def with_leaves(value: Any, changes: dict[Path, Any], path: Path = ()) -> Any:
    """The document with other values at some paths."""
    if path in changes:
        return changes[path]
    if isinstance(value, dict):
        return {key: with_leaves(item, changes, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [with_leaves(item, changes, (*path, n)) for n, item in enumerate(value)]
    return value


@pytest.mark.parametrize(("form", "pack"), FORMATS)
@given(document=DOCUMENTS)
def test_every_text_and_integer_is_found_where_it_stands(form: Format, pack: Any, document: Any) -> None:
    found = {item.path: item.value for item in find_items(pack(document), form) if item.kind is not Kind.BYTES}
    assert found == leaves(document)


@pytest.mark.parametrize(("form", "pack"), FORMATS)
@given(document=DOCUMENTS, data=st.data())
def test_a_spliced_body_is_what_an_encoder_makes_of_the_changed_document(
    form: Format, pack: Any, document: Any, data: st.DataObject
) -> None:
    changes: dict[Path, Any] = {}
    for path, value in leaves(document).items():
        if data.draw(st.booleans()):
            is_text = isinstance(at(document, path), str)
            new = st.text(max_size=300) if is_text else st.integers(0, (1 << 64) - 1)
            changes[path] = data.draw(new if is_text or int(value) >= 0 else st.integers(-(1 << 63), -1))
    spliced = splice_items(pack(document), form, {path: str(value) for path, value in changes.items()})
    assert spliced == pack(with_leaves(document, changes))


def at(value: Any, path: Path) -> Any:
    """What stands at a path of a document."""
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(("form", "pack"), FORMATS)
@given(garbage=st.binary(max_size=200))
def test_garbage_has_nothing_or_stays_as_it_is(form: Format, pack: Any, garbage: bytes) -> None:
    find_items(garbage, form)
    assert splice_items(garbage, form, {}) == garbage


@pytest.mark.parametrize(("form", "pack"), FORMATS)
@given(document=DOCUMENTS, data=st.data())
def test_a_body_that_is_cut_off_within_a_value_has_nothing(
    form: Format, pack: Any, document: Any, data: st.DataObject
) -> None:
    whole = pack([document])
    assert find_items(whole[: data.draw(st.integers(0, len(whole) - 1))], form) == []


@pytest.mark.parametrize(("form", "pack"), FORMATS)
def test_of_several_values_in_a_row_the_first_step_is_the_number_of_the_value(form: Format, pack: Any) -> None:
    body = pack({"id": "one"}) + pack(None) + pack({"id": "three"})
    assert [(item.path, item.value) for item in find_items(body, form)] == [((0, "id"), "one"), ((2, "id"), "three")]
    assert find_items(pack(None) + pack("two"), form)[0].path == (1,)
    assert splice_items(body, form, {(2, "id"): "other"}) == pack({"id": "one"}) + pack(None) + pack({"id": "other"})


@pytest.mark.parametrize(("form", "pack"), FORMATS)
def test_a_key_that_is_an_integer_is_its_digits(form: Format, pack: Any) -> None:
    assert [item.path for item in find_items(pack({1: {-7: "x"}}), form)] == [("1", "-7")]


@pytest.mark.parametrize(("form", "pack"), FORMATS)
def test_bytes_are_text_where_they_seem_to_be_and_else_hexadecimal(form: Format, pack: Any) -> None:
    body = pack({"text": b"tok_1234", "raw": bytes(range(16)), "long": b"\xff" * 65})
    assert [(item.path, item.value) for item in find_items(body, form)] == [
        (("text",), "tok_1234"),
        (("raw",), "000102030405060708090a0b0c0d0e0f"),
    ]
    changed = splice_items(body, form, {("text",): "tok_5", ("raw",): "00FF"})
    assert changed == pack({"text": b"tok_5", "raw": b"\x00\xff", "long": b"\xff" * 65})
    assert splice_items(body, form, {("raw",): "no hexadecimal"}) == body


@pytest.mark.parametrize(("form", "pack"), FORMATS)
def test_what_is_no_integer_becomes_a_text_where_one_was(form: Format, pack: Any) -> None:
    assert splice_items(pack({"id": 7}), form, {("id",): "b-7"}) == pack({"id": "b-7"})
    assert splice_items(pack([7]), form, {(0,): str(1 << 64)}) == pack([str(1 << 64)])


@pytest.mark.parametrize(("form", "pack"), FORMATS)
def test_what_is_nested_too_deep_or_has_too_many_values_has_nothing(form: Format, pack: Any) -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert find_items(pack(deep), form) == []
    assert find_items(pack(["x"] * 60_000), form) == []


def test_a_list_as_a_key_has_no_path() -> None:
    assert find_items(b"\x81\x91\x01\xa1x", MESSAGEPACK) == []


@pytest.mark.parametrize("form", [MESSAGEPACK, CBOR])
def test_there_is_no_head_beyond_the_end(form: Format) -> None:
    with pytest.raises(Broken):
        form.read_head(b"", 0)
