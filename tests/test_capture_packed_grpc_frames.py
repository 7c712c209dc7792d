"""Frames of gRPC are read to their last whole one, or refused where one is not whole."""

from __future__ import annotations

import pytest

from capture.packed.grpc_frames import COMPRESSED, HEAD_BYTES, TRAILERS, read_frames
from capture.packed.items import Broken
from tests.support.protobuf import frame

BODY = frame(b"one") + frame(b"", COMPRESSED) + frame(b"grpc-status:0\r\n", TRAILERS)


def test_each_frame_has_its_flags_and_its_message() -> None:
    frames = list(read_frames(BODY, cut_off=False))
    assert [(flags, BODY[start:end]) for flags, start, end in frames] == [
        (0, b"one"),
        (1, b""),
        (0x80, b"grpc-status:0\r\n"),
    ]


@pytest.mark.parametrize("length", [1, 4, 5, 7, 12, 32])
def test_what_is_cut_off_is_passed_over_or_refused_as_the_caller_says(length: int) -> None:
    whole = [one for one in read_frames(BODY, cut_off=False) if one[2] <= length]
    assert list(read_frames(BODY[:length], cut_off=True)) == whole
    at = whole[-1][2] if whole else 0
    with pytest.raises(Broken, match=f"the frame at byte {at} is cut off"):
        list(read_frames(BODY[:length], cut_off=False))


def test_unknown_flags_are_refused_or_left_as_they_are() -> None:
    assert list(read_frames(frame(b"x", 4), cut_off=True)) == [(4, HEAD_BYTES, HEAD_BYTES + 1)]
    with pytest.raises(Broken, match="the frame at byte 0 has unknown flags"):
        list(read_frames(frame(b"x", 4), cut_off=False))
