"""Places: where in a request or a response a value stands, named so that the same place can be found in another one."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Place", "Step", "in_part", "innermost", "part_of", "shape_of"]

Step: TypeAlias = str | int

_LISTS = frozenset(("json", "xml", "html", "script", "event"))


class Place(NamedTuple):
    """One place. kind: "path", "query", "header", "cookie", "json", "form", "part", "xml", "html", "script", "event",
    "protobuf", "text" or "multipart".

    path: the keys below it: (2,) for a path's third segment, ("page", 0) for the first query field of that name,
    ("x-token", 0) for a header, ("items", 3, "id") for a JSON leaf, ("List", "Item", 2) for the text of an XML element,
    ("input", "csrf", 0) for HTML, ("state", 0) for what a script calls so, (2, "data") for the third
    server-sent event, (2, 0, 1, 0) for field 1 of the first field 2 of a protobuf message (of gRPC the number of the
    message comes before). inner: where inside that value, when it is itself a URL, a JWT, base64 or several words:
    ("path", 1), ("query", "id", 0), ("jwt", "sub"); in a request also ("at", 4), the part that begins there.
    """

    kind: str
    path: tuple[Step, ...]
    inner: tuple[Step, ...] = ()

    def text(self) -> str:
        """As shown to people and stored in `Binding.place`: "path[2]", "query:page", "$['items'][3]['id']"."""
        if self.kind == "json":
            shown = "$" + "".join(f"[{step!r}]" for step in self.path)
        elif self.kind == "path":
            shown = f"path[{self.path[0]}]"
        elif self.kind in ("query", "header", "cookie", "form", "part"):
            again = f"[{self.path[1]}]" if len(self.path) > 1 and self.path[1] else ""
            shown = f"{self.kind}:{self.path[0]}{again}"
        else:
            shown = ":".join([self.kind, *map(str, self.path)])
        return shown + "".join(f"/{step}" for step in self.inner)

    def names(self) -> tuple[str, ...]:
        """The words that say what the value is, nearest first: its key, then what is around it."""
        if self.kind == "multipart":
            return innermost(self).names()
        words = [step for step in (*self.path, *self.inner) if isinstance(step, str)]
        if self.kind == "html":
            words = [word.removeprefix("data-") for word in words]
        return tuple(reversed(words))


def part_of(place: Place) -> tuple[int, Place] | None:
    """The number of the part that a place is in, and the place in it; None where it is in no part."""
    if place.kind != "multipart":
        return None
    number, kind, *path = place.path
    return int(number), Place(str(kind), tuple(path), place.inner)


def in_part(number: Step, place: Place) -> Place:
    """The place of what stands at a place in the part of that number."""
    return Place("multipart", (number, place.kind, *place.path), place.inner)


def innermost(place: Place) -> Place:
    """The place in the part that holds it, without the parts around it."""
    while place.kind == "multipart":
        _, kind, *path = place.path
        place = Place(str(kind), tuple(path), place.inner)
    return place


def shape_of(place: Place) -> Place:
    """The place with every index of a list taken out, so that alike elements have the same shape."""
    if (within := part_of(place)) is not None:
        return in_part("*", shape_of(within[1]))
    if place.kind == "protobuf":
        # Field numbers stay; which of that number it is, and which message, does not.
        first = len(place.path) % 2
        at = tuple(step if n % 2 == first else "*" for n, step in enumerate(place.path))
        return Place(place.kind, at, place.inner)
    if place.kind not in _LISTS:
        return place
    path = tuple("*" if isinstance(step, int) else step for step in place.path)
    inner = place.inner
    if inner[:1] == ("json",):
        inner = tuple("*" if isinstance(step, int) else step for step in inner)
    return place if path == place.path and inner == place.inner else Place(place.kind, path, inner)
