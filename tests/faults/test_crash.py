"""kill -9 at any moment: every turn that was acknowledged is there, whole, and once."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc
from repartee.v1 import conversation_pb2 as pb

from tests.server.harness import DATABASE, TIMEOUT_S, Client, Process

KILLS = 20
CLIENTS = 4
# Under load, from the first acknowledged turn on, before the kill.
LOAD_S_MAX = 0.25
SEED = 20261121
SAYINGS = (
    "My website is down since 2 November, error 502.",
    "Please refund me $15 for it.",
    "How do I install WordPress?",
    "That is not what I asked, I am furious!",
    "I want to cancel the Grove plan.",
)


@dataclass
class Memory:
    """What the clients were told, over all lives of the server."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    # By conversation and turn: what the caller saw of it.
    acknowledged: dict[str, dict[str, pb.RespondResponse]] = field(default_factory=lambda: defaultdict(dict))
    # Asked, and not known to be answered: sent again to the next life.
    open: list[pb.RespondRequest] = field(default_factory=list)
    answered: list[tuple[pb.RespondRequest, str]] = field(default_factory=list)
    asked: int = 0

    def next_request(self, chance: random.Random, own: list[str]) -> pb.RespondRequest:
        with self.lock:
            if self.open:
                return self.open.pop()
            self.asked += 1
            number = self.asked
        conversation = chance.choice(["", *own])
        message = f"{chance.choice(SAYINGS)} (number {number})"
        return pb.RespondRequest(conversation=conversation, message=message, request_id=f"request-{number}")

    def was_answered(self, request: pb.RespondRequest, answer: pb.RespondResponse) -> None:
        with self.lock:
            before = self.acknowledged[answer.conversation.name].setdefault(answer.turn.name, answer)
            self.answered.append((request, answer.turn.name))
        assert before.turn.reply == answer.turn.reply, "two answers to one turn"

    def was_not_answered(self, request: pb.RespondRequest) -> None:
        with self.lock:
            self.open.append(request)


@contextmanager
def life(data_dir: Path, cache_dir: Path, domains_dir: Path) -> Iterator[Process]:
    process = Process(data_dir, cache_dir, domains_dir, REPARTEE_METRICS_ADDRESS="", REPARTEE_LOG_LEVEL="info")
    try:
        yield process
    finally:
        process.kill()


def talk(port: int, memory: Memory, chance: random.Random, first: threading.Event) -> None:
    """One client: asks, streamed or whole, until the server is gone."""
    client = Client(port)
    with memory.lock:
        own = sorted(memory.acknowledged)[-3:]
    request = None
    try:
        while True:
            request = memory.next_request(chance, own)
            if chance.random() < 0.5:
                events = list(client.talk.StreamRespond(pb.StreamRespondRequest(request=request), timeout=TIMEOUT_S))
                answer = events[-1].done
            else:
                answer = client.talk.Respond(request, timeout=TIMEOUT_S)
            memory.was_answered(request, answer)
            own = [*own, answer.conversation.name][-3:]
            first.set()
    except grpc.RpcError as error:
        if cast("grpc.Call", error).code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        if request:
            memory.was_not_answered(request)
    finally:
        client.channel.close()


def live_and_die(process: Process, memory: Memory, chance: random.Random) -> None:
    """Some load from several clients at once, and a kill -9 in the middle of it."""
    first = threading.Event()
    failures: list[BaseException] = []

    def run(own: random.Random) -> None:
        try:
            talk(process.port, memory, own, first)
        except BaseException as error:  # noqa: BLE001  (told by the test's own thread)
            failures.append(error)

    clients = [threading.Thread(target=run, args=(random.Random(chance.random()),)) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    first.wait(TIMEOUT_S)
    threading.Event().wait(chance.uniform(0, LOAD_S_MAX))
    process.kill()
    for one in clients:
        one.join(TIMEOUT_S)
        assert not one.is_alive()
    assert failures == []


def all_turns(client: Client, name: str) -> list[pb.Turn]:
    turns: list[pb.Turn] = []
    token = ""
    while True:
        page = client.talk.ListTurns(pb.ListTurnsRequest(parent=name, page_size=100, page_token=token))
        turns += page.turns
        if not (token := page.next_page_token):
            return turns


def check(client: Client, memory: Memory) -> None:
    """Everything that was acknowledged is there as it was told; nothing is there twice or in part."""
    messages: list[str] = []
    for name, told in memory.acknowledged.items():
        turns = all_turns(client, name)
        state = client.talk.GetConversation(pb.GetConversationRequest(name=name))
        assert [turn.name for turn in turns] == [f"{name}/turns/{n + 1}" for n in range(len(turns))]
        assert state.turn_count == len(turns)
        assert state.situation == turns[-1].situation.id
        assert state.update_time == turns[-1].create_time
        kept = {turn.name: turn for turn in turns}
        for turn_name, answer in told.items():
            turn = kept.pop(turn_name)
            assert (turn.message, turn.reply) == (answer.turn.message, answer.turn.reply)
            assert turn.changes == answer.turn.changes
            assert (turn.situation, turn.play) == (answer.turn.situation, answer.turn.play)
            if turn is turns[-1]:
                assert state == answer.conversation
        # What was written but never acknowledged is whole as well.
        assert all(turn.reply or turn.interrupted for turn in kept.values())
        messages += [turn.message for turn in turns]
    assert len(set(messages)) == len(messages), "a message was applied twice"


def repeat(client: Client, memory: Memory, chance: random.Random) -> None:
    """Asking again for what was answered in any life brings the same turn back."""
    for request, turn_name in chance.sample(memory.answered, min(5, len(memory.answered))):
        assert client.talk.Respond(request).turn.name == turn_name
    while memory.open:
        request = memory.open.pop()
        answer = client.talk.Respond(request)
        memory.was_answered(request, answer)
        assert client.talk.Respond(request).turn.name == answer.turn.name


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, cache_dir: Path, domains_dir: Path) -> None:
    chance, memory = random.Random(SEED), Memory()
    for _ in range(KILLS):
        with life(tmp_path, cache_dir, domains_dir) as process:
            check(Client(process.port), memory)
            live_and_die(process, memory, chance)
    with life(tmp_path, cache_dir, domains_dir) as process:
        client = Client(process.port)
        check(client, memory)
        repeat(client, memory, chance)
        check(client, memory)
        client.channel.close()
    with sqlite3.connect(tmp_path / DATABASE) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()
    acknowledged = sum(map(len, memory.acknowledged.values()))
    assert acknowledged >= KILLS
