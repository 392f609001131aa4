"""Conversations in one SQLite file: the store of a single process.

Write-ahead log, synchronous=FULL: what was acknowledged survives kill -9 and power loss.
Reads run inline on the event loop's thread (5 µs; a thread would cost 100). Writes go
through one writer thread that takes whatever is waiting into one transaction, so that
the fsync is shared; each write is a savepoint of its own, so that one that fails takes
no other with it. A write that was cancelled before its turn came is never made.

A deletion also empties the log, and erased text is on no page of either file once the
call returns. `secure_delete` alone does not see to that: rows that SQLite moves between
the pages of a tree leave copies behind, which it never overwrites. So text is kept where
nothing moves: every row begins with as much padding as may stand on a page of a tree, and
what comes after it is on overflow pages, which are overwritten when they are freed.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from engine.conversation import Conversation
from engine.errors import AlreadyExists, EtagMismatch, Overloaded, RequestIdTaken, Unavailable
from engine.ports import Page, Remembered, Write
from engine.trace import Turn

REQUEST_ID_TTL = timedelta(days=1)
WAITING_WRITES_MAX = 4096
GROUP_MAX = 256
# A page ends early rather than be more than a gRPC client takes by default (4 MiB).
PAGE_BYTES_MAX = 2 << 20
_SWEEP_MAX = 200

_PAGE_BYTES = 4096
# The most that SQLite puts of a row on a page of a tree without row ids: see "Cell Payload
# Overflow Pages" of its file format.
_PADDING_BYTES = (_PAGE_BYTES - 12) * 64 // 255 - 23

_MIGRATIONS = (
    f"""
    CREATE TABLE conversations (
        tenant TEXT NOT NULL, id TEXT NOT NULL, etag TEXT NOT NULL,
        created TEXT NOT NULL, expires TEXT NOT NULL,
        padding BLOB NOT NULL DEFAULT (zeroblob({_PADDING_BYTES})), state BLOB NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_age ON conversations (tenant, created DESC, id);
    CREATE INDEX conversations_by_expiry ON conversations (expires);
    CREATE TABLE turns (
        tenant TEXT NOT NULL, conversation TEXT NOT NULL, number INTEGER NOT NULL,
        padding BLOB NOT NULL DEFAULT (zeroblob({_PADDING_BYTES})), turn BLOB NOT NULL,
        PRIMARY KEY (tenant, conversation, number)
    ) WITHOUT ROWID;
    CREATE TABLE requests (
        tenant TEXT NOT NULL, id TEXT NOT NULL, conversation TEXT NOT NULL, created TEXT NOT NULL,
        padding BLOB NOT NULL DEFAULT (zeroblob({_PADDING_BYTES})), digest BLOB, answer BLOB NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX requests_by_age ON requests (created);
    CREATE INDEX requests_by_conversation ON requests (tenant, conversation);
    """,
)

_conversations = TypeAdapter(Conversation)
_turns = TypeAdapter(Turn)

Row = tuple[Any, ...]
Work = Callable[[sqlite3.Connection], object]


class SqliteStore:
    """See `engine.ports.ConversationStore`."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making or migrating it where needed.

        Raises:
            Unavailable: if it was written by a newer version of this software, or cannot be opened.
        """
        self._reader = _open(path)
        _migrate(self._reader, path)
        self._closed = False
        self._waiting: queue.Queue[tuple[Work, Future[object]] | None] = queue.Queue(WAITING_WRITES_MAX)
        self._writer = threading.Thread(target=self._write_all, args=(_open(path),), name="sqlite-writer", daemon=True)
        self._writer.start()

    async def close(self) -> None:
        """Waits for the writes that are on their way."""
        self._closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._writer.join)
        self._reader.close()

    # -- reads, inline

    async def get(self, tenant: str, conversation_id: str, now: datetime) -> Conversation | None:
        row = self._reader.execute(
            "SELECT state FROM conversations WHERE tenant = ? AND id = ? AND expires > ?",
            (tenant, conversation_id, _stamp(now)),
        ).fetchone()
        return _conversations.validate_json(row[0]) if row else None

    async def list(self, tenant: str, page: Page, now: datetime) -> tuple[Sequence[Conversation], str]:
        created, _, last_id = page.after.partition(" ")
        rows = self._reader.execute(
            "SELECT state, created, id FROM conversations WHERE tenant = ?1 AND expires > ?2"
            " AND (?3 = '' OR created < ?3 OR (created = ?3 AND id > ?4))"
            " ORDER BY created DESC, id LIMIT ?5",
            (tenant, _stamp(now), created, last_id, page.limit + 1),
        )
        shown, more = _fill(rows, page.limit)
        return [_conversations.validate_json(row[0]) for row in shown], f"{shown[-1][1]} {shown[-1][2]}" if more else ""

    async def turns(self, tenant: str, conversation_id: str, page: Page) -> tuple[Sequence[Turn], str]:
        rows = self._reader.execute(
            "SELECT turn, number FROM turns WHERE tenant = ? AND conversation = ? AND number > CAST(? AS INTEGER)"
            " ORDER BY number LIMIT ?",
            (tenant, conversation_id, page.after, page.limit + 1),
        )
        shown, more = _fill(rows, page.limit)
        return [_turns.validate_json(row[0]) for row in shown], str(shown[-1][1]) if more else ""

    async def recall(self, tenant: str, request_id: str, now: datetime) -> Remembered | None:
        row = self._reader.execute(
            "SELECT digest, answer, EXISTS (SELECT 1 FROM conversations AS c WHERE c.tenant = requests.tenant"
            " AND c.id = requests.conversation AND c.expires > ?) FROM requests"
            " WHERE tenant = ? AND id = ? AND created > ?",
            (_stamp(now), tenant, request_id, _stamp(now - REQUEST_ID_TTL)),
        ).fetchone()
        if row is None:
            return None
        digest, answer, is_there = row
        return Remembered(digest, answer) if is_there else Remembered(None, b"")

    # -- writes, on the writer thread

    async def write(self, write: Write) -> None:
        await self._do(partial(_apply, write))

    async def delete(self, tenant: str, conversation_id: str, now: datetime) -> bool:
        deleted = await self._do(partial(_delete, tenant, conversation_id, _stamp(now)))
        await self._do(_empty_log)
        return bool(deleted)

    async def sweep(self, now: datetime) -> int:
        swept = 0
        while batch := int(str(await self._do(partial(_sweep, _stamp(now), _stamp(now - REQUEST_ID_TTL))))):
            swept += batch
        # Also for a deletion whose caller did not stay for this part of it.
        await self._do(_empty_log)
        return swept

    async def _do(self, work: Work) -> object:
        if self._closed:
            raise Unavailable("the store is closed")
        done: Future[object] = Future()
        try:
            self._waiting.put_nowait((work, done))
        except queue.Full:
            raise Overloaded("too many writes are waiting for the disk", retry_after_ms=200) from None
        waiting = asyncio.wrap_future(done)
        cancelled: asyncio.CancelledError | None = None
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError as error:
                # What has not begun never will; what has begun is over before the caller goes on.
                cancelled = error
                done.cancel()
        if cancelled is None:
            return waiting.result()
        if not waiting.cancelled():
            waiting.exception()  # seen, so that nobody warns of it
        raise cancelled

    def _write_all(self, connection: sqlite3.Connection) -> None:
        """The writer thread: takes what is waiting, commits it as one, then tells everyone."""
        closing = False
        while not closing:
            group = [self._waiting.get()]
            while len(group) < GROUP_MAX and not self._waiting.empty():
                group.append(self._waiting.get())
            closing = None in group
            work = [item for item in group if item is not None and item[1].set_running_or_notify_cancel()]
            if work:
                _commit(connection, work)
        connection.close()


def _fill(rows: Iterable[Row], limit: int) -> tuple[list[Row], bool]:
    """The rows of a page, by number and by the bytes of their first column; and whether there are more."""
    shown: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[0])
        if shown and (len(shown) == limit or size > PAGE_BYTES_MAX):
            return shown, True
        shown.append(row)
    return shown, False


def _commit(connection: sqlite3.Connection, group: Sequence[tuple[Work, Future[object]]]) -> None:
    """Runs the works of a group in one transaction; the futures learn of it after the commit."""
    outcomes: list[tuple[object, BaseException | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_in_savepoint(connection, work) for work, _ in group]
        connection.execute("COMMIT")
        if any(work is _empty_log for work, _ in group):
            # Not possible within a transaction.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as failure:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        outcomes = [(None, _refusal(failure))] * len(group)
    for (_, done), (result, error) in zip(group, outcomes, strict=True):
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


def _refusal(failure: sqlite3.Error) -> Unavailable:
    return Unavailable(f"the store cannot write: {failure}")


def _in_savepoint(connection: sqlite3.Connection, work: Work) -> tuple[object, BaseException | None]:
    connection.execute("SAVEPOINT one")
    try:
        return work(connection), None
    except Exception as error:  # noqa: BLE001  (it is told to who asked; the writer goes on)
        connection.execute("ROLLBACK TO one")
        return None, _refusal(error) if isinstance(error, sqlite3.Error) else error
    finally:
        connection.execute("RELEASE one")


def _apply(write: Write, connection: sqlite3.Connection) -> None:
    conversation, tenant = write.conversation, write.tenant
    row = (
        conversation.etag,
        _stamp(conversation.expire_time),
        _conversations.dump_json(conversation),
        tenant,
        conversation.id,
    )
    if write.etag is None:
        _erase_expired(connection, tenant, conversation.id, _stamp(conversation.create_time))
        try:
            connection.execute(
                "INSERT INTO conversations (etag, expires, state, tenant, id, created) VALUES (?, ?, ?, ?, ?, ?)",
                (*row, _stamp(conversation.create_time)),
            )
        except sqlite3.IntegrityError:
            raise AlreadyExists("repartee.v1.Conversation", f"conversations/{conversation.id}") from None
    else:
        updated = connection.execute(
            "UPDATE conversations SET etag = ?, expires = ?, state = ? WHERE tenant = ? AND id = ? AND etag = ?",
            (*row, write.etag),
        )
        if not updated.rowcount:
            raise EtagMismatch("the conversation has changed since it was read; read it again")
    if write.turn is not None:
        turn = (tenant, conversation.id, write.turn.number, _turns.dump_json(write.turn))
        connection.execute("INSERT INTO turns (tenant, conversation, number, turn) VALUES (?, ?, ?, ?)", turn)
    if write.request_id:
        _remember(connection, write)


def _remember(connection: sqlite3.Connection, write: Write) -> None:
    now = write.conversation.update_time
    connection.execute(
        "DELETE FROM requests WHERE tenant = ? AND id = ? AND created <= ?",
        (write.tenant, write.request_id, _stamp(now - REQUEST_ID_TTL)),
    )
    try:
        connection.execute(
            "INSERT INTO requests (tenant, id, conversation, created, digest, answer) VALUES (?, ?, ?, ?, ?, ?)",
            (write.tenant, write.request_id, write.conversation.id, _stamp(now), write.digest, write.answer),
        )
    except sqlite3.IntegrityError:
        raise RequestIdTaken from None


def _delete(tenant: str, conversation_id: str, now: str, connection: sqlite3.Connection) -> bool:
    deleted = connection.execute(
        "DELETE FROM conversations WHERE tenant = ? AND id = ? AND expires > ?", (tenant, conversation_id, now)
    ).rowcount
    if deleted:
        _erase_parts(connection, tenant, conversation_id)
    return bool(deleted)


def _sweep(now: str, requests_before: str, connection: sqlite3.Connection) -> int:
    expired = connection.execute(
        "SELECT tenant, id FROM conversations WHERE expires <= ? LIMIT ?", (now, _SWEEP_MAX)
    ).fetchall()
    for tenant, conversation_id in expired:
        connection.execute("DELETE FROM conversations WHERE tenant = ? AND id = ?", (tenant, conversation_id))
        _erase_parts(connection, tenant, conversation_id)
    connection.execute("DELETE FROM requests WHERE created <= ?", (requests_before,))
    return len(expired)


def _erase_expired(connection: sqlite3.Connection, tenant: str, conversation_id: str, now: str) -> None:
    """An id is free again once its conversation has expired, swept or not."""
    gone = connection.execute(
        "DELETE FROM conversations WHERE tenant = ? AND id = ? AND expires <= ?", (tenant, conversation_id, now)
    ).rowcount
    if gone:
        _erase_parts(connection, tenant, conversation_id)


def _erase_parts(connection: sqlite3.Connection, tenant: str, conversation_id: str) -> None:
    connection.execute("DELETE FROM turns WHERE tenant = ? AND conversation = ?", (tenant, conversation_id))
    # The request's id stays without a trace of what was said: a late repeat must not open it again.
    connection.execute(
        "UPDATE requests SET digest = NULL, answer = x'' WHERE tenant = ? AND conversation = ?",
        (tenant, conversation_id),
    )


def _empty_log(connection: sqlite3.Connection) -> None:
    """Asks the writer to move the log into the file after the commit, and to truncate it."""


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        # The page size counts for a new file only, and before its journal mode is set.
        for pragma in (
            f"page_size = {_PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "busy_timeout = 5000",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{path}: cannot be opened: {error}") from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise Unavailable(f"{path}: written by a newer version (schema {version}, this one knows {len(_MIGRATIONS)})")
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def _stamp(time: datetime) -> str:
    """Sorts as the time does."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
