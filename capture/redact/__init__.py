"""Redaction: what may leave memory, and what becomes of the rest."""

from __future__ import annotations

from capture.redact.redactor import Redactor
from capture.redact.rules import DETECTORS, Rules

__all__ = ["DETECTORS", "Redactor", "Rules"]
