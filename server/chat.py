"""`repartee chat`: a conversation in the terminal, or one JSON object a turn for pipes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from repartee.v1 import conversation_pb2 as pb
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from rich.console import Console

if TYPE_CHECKING:
    # The stubs' types know an async flavour that does not exist at run time.
    from repartee.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

_TIMEOUT_S = 60
_STAGE = {value: name.removeprefix("STAGE_").lower() for name, value in pb.Stage.items()}
_OPERATION = {pb.SLOT_OPERATION_CHANGE: " (was {})", pb.SLOT_OPERATION_RETRACT: " taken back"}


class Chat:
    """Talks to one server in one conversation."""

    def __init__(self, address: str, conversation: str, domain: str, as_json: bool) -> None:
        self._address = address
        self._conversation = conversation
        self._domain = domain
        self._json = as_json
        self._console = Console(highlight=False, soft_wrap=True)

    async def run(self, message: str | None) -> int:
        """Says one message, or all that comes in until its end. Returns the exit code."""
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub = ConversationServiceStub(channel)
            if message is not None:
                return await self._turn(stub, message)
            if sys.stdin.isatty() and not self._json:
                self._console.print("[dim]Say something; an empty line or Ctrl-D ends the talk.[/dim]")
            worst = 0
            while (line := await asyncio.to_thread(self._read)) is not None:
                worst = max(worst, await self._turn(stub, line))
                if worst and not sys.stdin.isatty():
                    break
            return worst

    def _read(self) -> str | None:
        """The next line to say; None at the end. Blank lines of a pipe are passed over."""
        if sys.stdin.isatty():
            try:
                return input("> ").strip() or None
            except (EOFError, KeyboardInterrupt):
                return None
        return next((line.strip() for line in sys.stdin if line.strip()), None)

    async def _turn(self, stub: ConversationServiceAsyncStub, message: str) -> int:
        options = pb.TurnOptions(domain="" if self._conversation else self._domain)
        request = pb.RespondRequest(
            conversation=self._conversation, message=message, request_id=str(uuid4()), options=options
        )
        try:
            async for event in stub.StreamRespond(pb.StreamRespondRequest(request=request), timeout=_TIMEOUT_S):
                self._show(event)
        except grpc.aio.AioRpcError as error:
            self._show_error(error)
            return 1
        return 0

    def _show(self, event: pb.StreamRespondResponse) -> None:
        if event.HasField("turn_started"):
            self._conversation = event.turn_started.conversation
        elif event.HasField("done") and self._json:
            print(json.dumps(MessageToDict(event.done, preserving_proto_field_name=True)), flush=True)
        elif event.HasField("done"):
            self._console.print()
            for line in _notes(event.done):
                self._console.print(line, style="dim", markup=False)
        elif event.text and not self._json:
            self._console.print(event.text, end="", markup=False)

    def _show_error(self, error: grpc.aio.AioRpcError) -> None:
        hint = ""
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            hint = f"\nIs a server running at {self._address}? `make run` starts one."
        print(f"{error.code().name}: {error.details()}{hint}", file=sys.stderr)


def _notes(done: pb.RespondResponse) -> Iterator[str]:
    """What stands under a reply: where it went and how long it took, and what was captured."""
    turn = done.turn
    situation = f"{turn.situation.id} {turn.situation.confidence:.2f}"
    if turn.situation.runner_up:
        situation += f" (then {turn.situation.runner_up} {turn.situation.runner_up_confidence:.2f})"
    yield f"  {situation} · {turn.play.id}: {turn.play.principle}"
    for change in turn.changes:
        shown = change.previous if change.operation == pb.SLOT_OPERATION_RETRACT else change.value
        note = _OPERATION.get(change.operation, "").format(change.previous.text)
        yield f"  {change.name} = {shown.text}{note}" + (f" “{shown.quote}”" if shown.quote else "")
    stages = " ".join(f"{_STAGE[stage.stage]} {_ms(stage.duration):.1f}" for stage in turn.trace.stages)
    yield f"  {_ms(turn.trace.total):.1f} ms: {stages} · {done.conversation.name}"


def _ms(span: Duration) -> float:
    return span.ToNanoseconds() / 1e6
