"""Reads domain packs from directories of TOML files.

pack.toml                id, title, voice, policies, lexicons
situations.toml          [[situation]]
slots.toml               [[slot]], each with its [[slot.cue]]
plays.toml               [[play]]
catalogs/ID.toml         one catalog each
examples/SITUATION.toml  messages = [...]
golden.toml              [[case]] for `repartee eval`; no part of the pack's version
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.domain import Domain
from engine.errors import PackError

BUILT_IN = Path(__file__).parent / "domains"


def available(directory: Path | None = None) -> dict[str, Path]:
    """All packs by id: the built-in ones, and those of the directory, which come first."""
    roots = [BUILT_IN, *([directory] if directory else [])]
    return {
        path.parent.name: path.parent for root in roots if root.is_dir() for path in sorted(root.glob("*/pack.toml"))
    }


def load(path: Path) -> Domain:
    """Reads and validates one pack.

    Raises:
        PackError: with the file, and the line or the key, that is wrong.
    """
    if not (path / "pack.toml").is_file():
        raise PackError(f"{path}: no domain pack here (pack.toml is missing)")
    digest = hashlib.sha256()
    content: dict[str, Any] = {
        **_read(path / "pack.toml", digest),
        "situations": _read(path / "situations.toml", digest).get("situation", []),
        "slots": [_slot(slot) for slot in _read(path / "slots.toml", digest).get("slot", [])],
        "plays": _read(path / "plays.toml", digest).get("play", []),
        "catalogs": [_read(file, digest) for file in sorted((path / "catalogs").glob("*.toml"))],
        "examples": [
            {"message": message, "situation": file.stem}
            for file in sorted((path / "examples").glob("*.toml"))
            for message in _read(file, digest).get("messages", [])
        ],
    }
    try:
        return Domain.model_validate({**content, "version": digest.hexdigest()})
    except ValidationError as error:
        faults = [_fault(path, content, fault["loc"], fault["msg"]) for fault in error.errors()]
        raise PackError("\n".join(faults)) from None


def _slot(slot: dict[str, Any]) -> dict[str, Any]:
    """In a file an array of tables is named in the singular, as TOML users expect."""
    return {("cues" if key == "cue" else key): value for key, value in slot.items()}


def _read(file: Path, digest: Any) -> dict[str, Any]:  # noqa: ANN401  (hashlib's type has no public name)
    try:
        raw = file.read_bytes()
        digest.update(file.name.encode() + len(raw).to_bytes(8, "big") + raw)
        return tomllib.loads(raw.decode())
    except FileNotFoundError:
        raise PackError(f"{file}: the file is missing") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{file}: {error}") from None


_FILES = {"situations": "situations.toml", "slots": "slots.toml", "plays": "plays.toml"}


def _fault(path: Path, content: dict[str, Any], location: tuple[int | str, ...], message: str) -> str:
    """One fault as a line: file, key, what is wrong; list items go by their id where they have one."""
    part = str(location[0]) if location else ""
    keys = []
    value: Any = content
    for key in location:
        value = _child(value, key)
        named = value.get("id") or value.get("name") if isinstance(value, dict) else None
        keys.append(f"[{named or key}]" if isinstance(key, int) else f".{key}")
    where = path / _FILES.get(part, f"{part}/" if part in {"catalogs", "examples"} else "pack.toml")
    return f"{where}: {''.join(keys).lstrip('.')}: {message}"


def _child(value: object, key: int | str) -> Any:  # noqa: ANN401
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return value.get(key) if isinstance(value, dict) else None
