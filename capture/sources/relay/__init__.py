"""The sidecar: a byte relay between clients and one upstream that lets an observer look at copies."""

from __future__ import annotations

from capture.sources.relay.address import Address, parse_address
from capture.sources.relay.server import Relay, RelayOptions

__all__ = ["Address", "Relay", "RelayOptions", "parse_address"]
