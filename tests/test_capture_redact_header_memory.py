"""What is remembered of rows of headers says how they are read, and never that a secret is none."""

from __future__ import annotations

from capture.pseudonym import Pseudonyms
from capture.redact.found import Found
from capture.redact.header_memory import HeaderMemory
from capture.redact.rules import Rules
from capture.settings import RedactConfig

RULES = Rules(RedactConfig())


def found() -> Found:
    return Found(RULES, Pseudonyms(b"key"))


def test_the_same_row_of_names_is_worked_out_once() -> None:
    memory = HeaderMemory(RULES)
    assert memory.row((("A", "1"), ("B", "2"))) is memory.row((("A", "3"), ("B", "4")))
    assert memory.row((("A", "1"), ("b", "2"))) is not memory.row((("A", "3"), ("B", "4")))


def test_values_of_a_name_that_was_ordinary_often_are_only_searched() -> None:
    memory = HeaderMemory(RULES)
    for n in range(20):
        headers = (("X-Plain", f"value {n}"), ("Authorization", f"Bearer abcdef12{n}"))
        assert memory.redact(headers, memory.row(headers), found())[0] == headers[0]
    headers = (("X-Plain", "value new"), ("Authorization", "Bearer abcdef12"))
    row = memory.row(headers)
    assert memory.unsearched(headers, row) == ["value new"]
    assert not memory.known(headers, row)
    assert memory.unsearched((("X-Plain", "value 3"), headers[1]), row) == []


def test_a_row_without_secret_names_is_known_once_its_fields_were_seen() -> None:
    memory = HeaderMemory(RULES)
    headers = (("Accept", "*/*"), ("Host", "shop.example"))
    assert not memory.known(headers, memory.row(headers))
    assert memory.redact(headers, memory.row(headers), found()) is headers
    assert memory.known(headers, memory.row(headers))


def test_the_first_content_type_that_says_something_counts() -> None:
    memory = HeaderMemory(RULES)
    headers = (("content-type", ""), ("Content-Type", "text/plain"), ("Content-Encoding", "gzip"))
    row = memory.row(headers)
    assert row.content_type(headers) == "text/plain"
    assert row.coded
    assert memory.row(()).content_type(()) == ""


def test_rows_are_bounded_in_number_and_length() -> None:
    memory = HeaderMemory(RULES)
    for n in range(2000):
        memory.row(((f"X-{n}", "1"),))
        memory.row(tuple((f"X-{n}-{m}", "1") for m in range(100)))
        memory.row(((f"X-{n}" * 1000, "1"),))
    assert len(memory._rows) <= 512
    assert all(len(names) <= 64 and sum(map(len, names)) <= 2048 for names in memory._rows)


def test_without_memory_every_field_is_read_as_if_it_were_the_first() -> None:
    memory = HeaderMemory(RULES, remembers=False)
    headers = (("Accept", "*/*"),)
    for _ in range(50):
        assert memory.redact(headers, memory.row(headers), found()) is headers
    assert len(memory) == 0
    assert not memory.known(headers, memory.row(headers))
