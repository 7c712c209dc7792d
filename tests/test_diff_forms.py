from __future__ import annotations

import pytest

from diff.forms import form_of


@pytest.mark.parametrize(
    ("value", "name", "form"),
    [
        ("3f2b8c1e-7a60-4d6e-a9be-0c7d11f4a2d5", "uuid", "version 4"),
        ("3F2B8C1E-7A60-1D6E-A9BE-0C7D11F4A2D5", "uuid", "version 1, upper case"),
        ("2026-09-21T14:13:20.101Z", "rfc3339.f:z", "3 digits of a second, T"),
        ("2026-09-21 14:13:20+02:00", "rfc3339:offset", "0 digits of a second, blank"),
        ('W/"abc"', "etag:weak", "7 characters"),
        ("https://shop.example/a?b", "url", "https://shop.example"),
        ("0123456789ABCDEF", "token:hex:16", "upper case"),
        ("words", "text", ""),
        (17, "int", ""),
    ],
)
def test_a_value_of_a_class_has_a_form(value: object, name: str, form: str) -> None:
    assert form_of(value, name) == form
