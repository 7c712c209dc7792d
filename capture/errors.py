"""The few errors of the whole house, each naming what is wrong, where, and what to do.

A peer that refuses, resets or times out is data in an `Outcome`, never one of these. Every command maps them to the
exit codes of docs/manual.md: `exit_code` is the status the process ends with when the error reaches the front door.

    UnderstudyError
      UsageError      2   the call or the configuration is wrong
      BadInput        2   a file that was named cannot be used as what it should be
      RunFailed       4   the work itself could not be done (a build is not there, the disk is full)
        Damaged       4   a log or run lost something, or was altered, and the message says where
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["BadInput", "Damaged", "RunFailed", "UnderstudyError", "UsageError"]


class UnderstudyError(Exception):
    """Base of all errors that reach a user; str() is one or two lines: what, where, what to do."""

    exit_code: ClassVar[int] = 4


class UsageError(UnderstudyError):
    """The call is wrong: an unknown option or key, values that do not go together."""

    exit_code = 2


class BadInput(UnderstudyError):
    """A named file or address cannot be used: not there, not a log, a newer version."""

    exit_code = 2


class RunFailed(UnderstudyError):
    """The work was asked for rightly and could not be done."""

    exit_code = 4


class Damaged(RunFailed):
    """Something that was written is lost or altered; the message gives the file and the byte offset."""
