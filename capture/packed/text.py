"""Whether bytes are text, where a format does not say so: one rule for all that look into bodies without a schema."""

from __future__ import annotations

from typing import Final

__all__ = ["text_of"]

_CONTROLS: Final = {code: None for code in (*range(0x20), 0x7F) if code not in (0x09, 0x0A, 0x0D)}


def text_of(data: bytes) -> str | None:
    """The text that the bytes seem to be, None where they seem to be something else.

    UTF-8 without control characters other than tabs and ends of lines, and these not at its beginning: a text that
    begins with a control character is rare, a protobuf message that does is the rule (its first tag). No bytes are the
    empty text. What Unicode calls unprintable (a no-break space, a character of a newer version) is text.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text.isprintable():
        return text
    return None if text[0] < " " or text.translate(_CONTROLS) != text else text
