"""`repartee chat`: a conversation in the terminal, or one JSON object a turn for pipes."""

from __future__ import annotations

import json
import readline  # noqa: F401  (input() then has a history)
import sys
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from repartee.v1 import conversation_pb2 as pb
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from rich.console import Console

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

    def run(self, message: str | None) -> int:
        """Says one message, or all that comes in until its end. Returns the exit code."""
        with grpc.insecure_channel(self._address) as channel:
            stub = ConversationServiceStub(channel)
            if message is not None:
                return self._turn(stub, message)
            if sys.stdin.isatty() and not self._json:
                self._console.print("[dim]Say something; an empty line or Ctrl-D ends the talk.[/dim]")
            for line in self._lines():
                failed = self._turn(stub, line)
                if failed and not sys.stdin.isatty():
                    return failed
            return 0

    def _lines(self) -> Iterator[str]:
        """What is to be said, line by line. Blank lines of a pipe are passed over."""
        if not sys.stdin.isatty():
            yield from (line.strip() for line in sys.stdin if line.strip())
            return
        with suppress(EOFError):
            while line := input("> ").strip():
                yield line

    def _turn(self, stub: ConversationServiceStub, message: str) -> int:
        options = pb.TurnOptions(domain="" if self._conversation else self._domain)
        request = pb.RespondRequest(
            conversation=self._conversation, message=message, request_id=str(uuid4()), options=options
        )
        try:
            for event in stub.StreamRespond(pb.StreamRespondRequest(request=request), timeout=_TIMEOUT_S):
                self._show(event)
        except grpc.RpcError as error:
            self._show_error(error)
            return 1
        return 0

    def _show(self, event: pb.StreamRespondResponse) -> None:
        if event.HasField("turn_started"):
            if not (self._conversation or self._json):
                self._console.print(event.turn_started.conversation, style="dim")
            self._conversation = event.turn_started.conversation
        elif event.HasField("done") and self._json:
            print(json.dumps(MessageToDict(event.done, preserving_proto_field_name=True)), flush=True)
        elif event.HasField("done"):
            self._console.print()
            for line in _notes(event.done):
                self._console.print(line, style="dim", markup=False)
        elif event.text and not self._json:
            self._console.print(event.text, end="", markup=False)

    def _show_error(self, error: grpc.RpcError) -> None:
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
    yield f"  {_ms(turn.trace.total):.1f} ms: {stages}"
    yield from _models(turn.trace)


def _models(trace: pb.Trace) -> Iterator[str]:
    """Which models answered, where any did, and what they took."""
    asked = [stage for stage in trace.stages if stage.provider not in {"", "local"}]
    said = [f"{_STAGE[one.stage]} {one.model}" + f" of {one.calls} calls" * (one.calls > 1) for one in asked]
    if trace.degraded:
        said.append("the built-in engine stood in for the models")
    usage = trace.usage
    if usage.input_tokens:
        cost = f", ${usage.cost_usd:.5f}" if usage.cost_usd else ""
        wasted = f" (${usage.wasted_cost_usd:.5f} thrown away)" if usage.wasted_cost_usd else ""
        said.append(f"{usage.input_tokens} + {usage.output_tokens} tokens{cost}{wasted}")
    if said:
        yield f"  {'; '.join(said)}"


def _ms(span: Duration) -> float:
    return span.ToNanoseconds() / 1e6
