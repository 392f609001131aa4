"""What has expired or was deleted is gone: from every answer, and from every file."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.conversation import Exchange
from engine.ports import Write
from engine.store.sqlite import SqliteStore
from tests.engine.stores import ALL, NOW, bytes_in, on, opened, opening, turn_of

SECRET = "correct horse battery staple"


def test_what_has_expired_does_not_exist(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening(ttl=timedelta(hours=1)))
        assert await store.get("acme", "talk", NOW + timedelta(minutes=59))
        over = NOW + timedelta(hours=1)
        assert await store.get("acme", "talk", over) is None
        assert await store.list("acme", ALL, over) == ([], "")
        assert await store.delete("acme", "talk", over) is False

    on(tmp_path, test)


def test_a_sweep_erases_what_has_expired_and_only_that(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        # More than one batch, of two tenants.
        short = [opening(f"s{number}", tenant=f"t{number % 2}", ttl=timedelta(hours=1)) for number in range(450)]
        await asyncio.gather(*map(store.write, [*short, opening("long", tenant="t0")]))
        assert await store.sweep(NOW + timedelta(minutes=59)) == 0
        assert await store.sweep(NOW + timedelta(hours=1)) == 450
        assert await store.sweep(NOW + timedelta(hours=1)) == 0
        listed, _ = await store.list("t0", ALL, NOW)
        assert [conversation.id for conversation in listed] == ["long"]

    on(tmp_path, test)


@pytest.mark.parametrize("how", ["delete", "sweep"])
def test_erased_text_is_in_no_file(tmp_path: Path, how: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening("other"))
        await store.write(opening(ttl=timedelta(hours=1), history=(Exchange(SECRET, ""),)))
        secret = turn_of(opened(ttl=timedelta(hours=1)), SECRET, request_id="r", digest=b"d", answer=SECRET.encode())
        await store.write(secret)
        assert SECRET.encode() in bytes_in(tmp_path)
        if how == "delete":
            assert await store.delete("acme", "talk", NOW)
        else:
            assert await store.sweep(NOW + timedelta(hours=1)) == 1
        assert SECRET.encode() not in bytes_in(tmp_path)
        assert await store.get("acme", "other", NOW)

    on(tmp_path, test)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_erased_text_is_in_no_file_however_often_its_rows_were_moved(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"c{number:02}" for number in range(60)]
    now = {name: opened(name) for name in names}

    def saying(name: str) -> Write:
        text = f"<{name} said>" * chance.randint(1, chance.choice([3, 30, 300]))
        write = turn_of(now[name], text, request_id=str(chance.random()), digest=b"d", answer=text.encode())
        after = replace(write.conversation, history=(*now[name].history, Exchange(text, ""))[-chance.randint(1, 6) :])
        now[name] = after
        return replace(write, conversation=after)

    async def test(store: SqliteStore) -> None:
        await asyncio.gather(*(store.write(opening(name)) for name in names))
        for _ in range(12):
            # Rows grow and shrink and are split over pages, in an order of their own.
            await asyncio.gather(*(store.write(saying(name)) for name in chance.sample(names, 20)))
        for place, name in enumerate(chance.sample(names, len(names))):
            assert await store.delete("acme", name, NOW)
            now.pop(name)
            if place % 10 == 9:
                found = set(re.findall(rb"<(c\d\d) said>", bytes_in(tmp_path)))
                assert {name.decode() for name in found} <= now.keys()

    on(tmp_path, test)
