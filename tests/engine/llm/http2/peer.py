"""The other end of a connection, in memory: an HTTP/2 server that does as it is told, frame by frame."""

from __future__ import annotations

import asyncio
from collections import Counter

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from engine.llm.http2.connection import Connection
from engine.llm.http2.policy import Liveness

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_RST_STREAM = 0x3
REQUEST = [(b":method", b"POST"), (b":authority", b"api"), (b":scheme", b"https"), (b":path", b"/")]


class Pipe(asyncio.Transport):
    """Hands what a connection writes to the peer."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._peer.hears(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self._peer.connection.connection_lost, None)

    abort = close


class Peer:
    """A server, and the connection to it."""

    def __init__(self, *, streams_max: int = 100, liveness: Liveness | None = None) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        most = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams_max}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=most)
        # By stream: how often it was reset, and the bytes of its request.
        self.resets: Counter[int] = Counter()
        self.received: Counter[int] = Counter()
        self.requests: list[int] = []
        self.whole: set[int] = set()
        self.pings = 0
        self.deaf = False
        self.rooms: list[bool] = []
        self.connection = Connection(liveness or Liveness(), lambda one: self.rooms.append(one.takes_streams))
        self.pipe = Pipe(self)
        self.h2.initiate_connection()
        self.connection.connection_made(self.pipe)
        self.says()

    def hears(self, data: bytes) -> None:
        if self.deaf:
            return
        # Counted on the wire: h2 tells of the first one only.
        self.resets.update(_resets(data))
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived(stream_id=id_):
                    self.requests.append(id_)
                case h2.events.DataReceived(stream_id=id_, data=body, flow_controlled_length=credit):
                    self.received[id_] += len(body)
                    self.h2.acknowledge_received_data(credit, id_)
                case h2.events.StreamEnded(stream_id=id_):
                    self.whole.add(id_)
                case h2.events.PingReceived():
                    self.pings += 1
        # What it answers is on its way; the connection hears it in a later step, as over a wire.
        asyncio.get_running_loop().call_soon(self.says)

    def says(self) -> None:
        """Hands over what it has to say."""
        if (data := self.h2.data_to_send()) and not self.pipe.closing and not self.deaf:
            self.connection.data_received(data)

    def answers(self, id_: int, *, ends: bool = False) -> None:
        self.h2.send_headers(id_, [(":status", "200")], end_stream=ends)
        self.says()

    def writes(self, id_: int, data: bytes, *, ends: bool = False) -> None:
        self.h2.send_data(id_, data, end_stream=ends)
        self.says()

    def drops(self, id_: int, code: int = 2) -> None:
        self.h2.reset_stream(id_, code)
        self.says()

    def goes_away(self, last_stream_id: int, code: int = 0) -> None:
        self.connection.data_received(GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code).serialize())


def _resets(data: bytes) -> list[int]:
    """The streams that are reset, a frame each; the connection's preface is no frame."""
    at = len(_PREFACE) if data.startswith(_PREFACE) else 0
    found = []
    while at < len(data):
        if data[at + 3] == _RST_STREAM:
            found.append(int.from_bytes(data[at + 5 : at + 9], "big"))
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found
