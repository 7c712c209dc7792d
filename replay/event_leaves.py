"""Values in a stream of server-sent events: the data and the id of each, by its number in the stream."""

from __future__ import annotations

from collections.abc import Iterator

from replay.place import Place

__all__ = ["event_leaves"]


def event_leaves(body: bytes) -> Iterator[tuple[Place, str]]:
    """Id and data of each event that has data, as a client is given them (HTML standard, section 9.2.6).

    An event that was cut off by the end of the stream counts, too: a capture may end in it.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    number = 0
    data: list[str] = []
    identity = ""
    for line in (*text.split("\n"), ""):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            identity = value
        elif not line and data:
            if identity:
                yield Place("event", (number, "id")), identity
            yield Place("event", (number, "data")), "\n".join(data)
            number += 1
            data, identity = [], ""
