"""One module per kind of content: what a body is, and what differs between two of its kind."""

from __future__ import annotations

__all__: list[str] = []
