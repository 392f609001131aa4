"""What h2 must not see, and what it must not say, taken out of a connection's bytes.

h2 takes a GOAWAY for the end of everything (python-hyper/h2 #1181): after it, every frame
of a stream that the server still means to answer is a protocol error. So a GOAWAY is read
here, and h2 never learns of it.

And h2 answers every frame that was still on its way to a stream which we have reset with
another reset. A cancelled stream of megabytes would cost dozens, and servers count them
(nghttp2 gives up on a client at a thousand); one is enough. RFC 9113, sections 4.1, 5.1, 6.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HEADER_BYTES = 9
_GOAWAY = 0x7
_RST_STREAM = 0x3
# A frame's header, the last stream's id, the error code.
_GOAWAY_BYTES = _HEADER_BYTES + 8
_ID_MASK = 0x7FFFFFFF
# More debug data than this says nothing more.
_DEBUG_BYTES_MAX = 100
# What we allow a server: the default of SETTINGS_MAX_FRAME_SIZE.
FRAME_BYTES_MAX = 16_384


class FrameTooLarge(Exception):
    """A frame is larger than we allow, or is no frame at all."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server takes no new stream, and has not processed those after this one."""

    last_stream_id: int
    error_code: int
    debug: str


class Splitter:
    """Cuts what arrives into whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | GoAway]:
        """The whole frames so far, in order, those for h2 in as few pieces as can be.

        Raises:
            FrameTooLarge: these are no frames that we allow.
        """
        data = self._rest + data if self._rest else data
        start = at = 0
        while at + _HEADER_BYTES <= len(data):
            length = int.from_bytes(data[at : at + 3], "big")
            if length > FRAME_BYTES_MAX:
                self._rest = b""
                raise FrameTooLarge(f"a frame of {length} bytes")
            end = at + _HEADER_BYTES + length
            if end > len(data):
                break
            if data[at + 3] == _GOAWAY:
                if start < at:
                    yield data[start:at]
                yield _goaway(data[at:end])
                start = end
            at = end
        self._rest = data[at:]
        if start < at:
            yield data[start:at]


def _goaway(frame: bytes) -> GoAway:
    if len(frame) < _GOAWAY_BYTES:
        raise FrameTooLarge("a GOAWAY without its fields")
    last = int.from_bytes(frame[_HEADER_BYTES : _HEADER_BYTES + 4], "big") & _ID_MASK
    code = int.from_bytes(frame[_HEADER_BYTES + 4 : _GOAWAY_BYTES], "big")
    return GoAway(last, code, frame[_GOAWAY_BYTES:][:_DEBUG_BYTES_MAX].decode("ascii", "replace"))


def without_resets(data: bytes) -> bytes:
    """The same frames, without those that reset a stream."""
    kept = b""
    start = at = 0
    while at < len(data):
        end = at + _HEADER_BYTES + int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] == _RST_STREAM:
            kept += data[start:at]
            start = end
        at = end
    return kept + data[start:] if start else data
