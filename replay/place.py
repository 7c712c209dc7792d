"""Places: where in a request or a response a value stands, named so that the same place can be found in another one."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Place", "Step", "shape_of"]

Step: TypeAlias = str | int


class Place(NamedTuple):
    """One place. kind: "path", "query", "header", "cookie", "json", "form", "part", "xml", "html", "text".

    path: the keys below it: (2,) for a path's third segment, ("page", 0) for the first query field of that name,
    ("x-token", 0) for a header, ("items", 3, "id") for a JSON leaf, ("List", "Item", 2) for the text of an XML element,
    ("input", "csrf", 0) for HTML. inner: where inside that value, when it is itself a URL, a JWT, base64 or several
    words: ("path", 1), ("query", "id", 0), ("jwt", "sub"); in a request also ("at", 4), the part that begins there.
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
        words = [step for step in (*self.path, *self.inner) if isinstance(step, str)]
        return tuple(reversed(words))


def shape_of(place: Place) -> Place:
    """The place with every index of a list taken out, so that alike elements have the same shape."""
    if place.kind not in ("json", "xml") or not any(isinstance(step, int) for step in place.path):
        return place
    return Place(place.kind, tuple("*" if isinstance(step, int) else step for step in place.path), place.inner)
