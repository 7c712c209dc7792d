"""Templates that somebody wrote: words before placeholders, whole segments and parts of them."""

from __future__ import annotations

import pytest

from capture.errors import UsageError
from diff.template import Templates, parse_template, split_target

PETS = (
    "/pets",
    "/pets/{id}",
    "/pets/mine",
    "/pets/mine/toys",
    "/pets/{id}/toys/{toy}",
    "/files/{name}.{ext}",
    "/jobs/{id}:cancel",
    "/",
    "/caf%C3%A9/{x}",
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/pets", "/pets"),
        ("/pets/17?full=1", "/pets/{id}"),
        ("/pets/mine", "/pets/mine"),
        ("/pets/mine/toys", "/pets/mine/toys"),
        # The word leads nowhere here, so the placeholder is tried after it.
        ("/pets/mine/toys/3", "/pets/{id}/toys/{toy}"),
        ("/files/report.final.pdf", "/files/{name}.{ext}"),
        ("/files/report", None),
        ("/jobs/12:cancel", "/jobs/{id}:cancel"),
        ("/jobs/12:retry", None),
        ("/pets/a%2Fb", "/pets/{id}"),
        ("/pets/", None),
        ("/", "/"),
        ("/caf%c3%a9/1", "/caf%C3%A9/{x}"),
        ("/nothing", None),
    ],
)
def test_a_target_belongs_to_the_template_with_the_most_words(target: str, expected: str | None) -> None:
    assert Templates(PETS).match(split_target(target)) == expected
    assert Templates(reversed(PETS)).match(split_target(target)) == expected


def test_of_two_templates_that_say_the_same_the_first_one_gives_the_name() -> None:
    assert Templates(["/users/{name}", "/users/{id}"]).match(["users", "ann"]) == "/users/{name}"


def test_all_templates_can_be_listed() -> None:
    assert sorted(Templates(PETS)) == sorted(PETS)


def test_a_template_must_begin_with_a_slash() -> None:
    with pytest.raises(UsageError, match="must begin with '/'"):
        parse_template("users/{name}")


def test_what_a_placeholder_is_called_is_never_taken_for_a_pattern() -> None:
    assert Templates(["/a/{x+}.(b)"]).match(["a", "1.(b)"]) == "/a/{x+}.(b)"
    assert Templates(["/a/{x+}.(b)"]).match(["a", "1.b"]) is None
