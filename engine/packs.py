"""Reads domain packs from directories of TOML files.

pack.toml                id, title, voice, policies, lexicons
situations.toml          [[situation]]
slots.toml               [[slot]], each with its [[slot.cue]]; [fragments] that cues share, by {name}
plays.toml               [[play]]
catalogs/ID.toml         one catalog each
examples/SITUATION.toml  messages = [...]
golden.toml              [[case]] for `repartee eval`; no part of the pack's version
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.domain import Domain
from engine.errors import PackError

_NAMED = re.compile(r"\{([a-z_]+)\}")
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
    pack = _read(path / "pack.toml", digest)
    for key in _ELSEWHERE.keys() & pack.keys():
        raise PackError(f"{path / 'pack.toml'}: {key}: does not belong here{_ELSEWHERE[key]}")
    content: dict[str, Any] = {
        **pack,
        "situations": _tables(path / "situations.toml", "situation", digest),
        "slots": _slots(path / "slots.toml", digest),
        "plays": _tables(path / "plays.toml", "play", digest),
        "catalogs": [],
        "examples": [],
    }
    files: dict[str, list[Path]] = {"catalogs": sorted((path / "catalogs").glob("*.toml")), "examples": []}
    content["catalogs"] = [_read(file, digest) for file in files["catalogs"]]
    for file in sorted((path / "examples").glob("*.toml")):
        messages = _only(file, "messages", "messages = [...]", digest)
        content["examples"] += [{"message": message, "situation": file.stem} for message in messages]
        files["examples"] += [file] * len(messages)
    try:
        return Domain.model_validate({**content, "version": digest.hexdigest()})
    except ValidationError as error:
        faults = [_fault(path, content, files, fault["loc"], fault["msg"]) for fault in error.errors()]
        raise PackError("\n".join(faults)) from None


def _slots(file: Path, digest: Any) -> list[Any]:  # noqa: ANN401
    """The slots, with the fragments of the file put into the cues that name them."""
    content = _read(file, digest)
    fragments = content.pop("fragments", {})
    if not isinstance(fragments, dict) or not all(isinstance(text, str) for text in fragments.values()):
        raise PackError(f"{file}: fragments: is to be written as [fragments], a regular expression each")
    return [_slot(slot, fragments) for slot in _listed(file, content, "slot", "[[slot]]")]


def _slot(slot: dict[str, Any], fragments: dict[str, str]) -> dict[str, Any]:
    """In a file an array of tables is named in the singular, as TOML users expect."""
    named = {("cues" if key == "cue" else key): value for key, value in slot.items()}
    cues = named.get("cues")
    if isinstance(cues, list):
        named["cues"] = [_expanded(cue, fragments) if isinstance(cue, dict) else cue for cue in cues]
    return named


def _expanded(cue: dict[str, Any], fragments: dict[str, str]) -> dict[str, Any]:
    def put(match: re.Match[str]) -> str:
        return f"(?:{fragments[match[1]]})" if match[1] in fragments else match[0]

    return {
        key: _NAMED.sub(put, value) if key in {"pattern", "unless"} and isinstance(value, str) else value
        for key, value in cue.items()
    }


def _tables(file: Path, key: str, digest: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return _only(file, key, f"[[{key}]]", digest)


def _only(file: Path, key: str, sample: str, digest: Any) -> list[Any]:  # noqa: ANN401
    """The list under the one key that a file may have."""
    return _listed(file, _read(file, digest), key, sample)


def _listed(file: Path, content: dict[str, Any], key: str, sample: str) -> list[Any]:
    for other in content.keys() - {key}:
        raise PackError(f"{file}: {other}: there is no such key; expected {sample}")
    items = content.get(key, [])
    if not isinstance(items, list):
        raise PackError(f"{file}: {key}: is to be written as {sample}")
    if sample.startswith("[[") and not all(isinstance(item, dict) for item in items):
        raise PackError(f"{file}: {key}: is to be written as {sample}")
    return items


def _read(file: Path, digest: Any) -> dict[str, Any]:  # noqa: ANN401  (hashlib's type has no public name)
    try:
        raw = file.read_bytes()
        digest.update(file.name.encode() + len(raw).to_bytes(8, "big") + raw)
        return tomllib.loads(raw.decode())
    except FileNotFoundError:
        raise PackError(f"{file}: the file is missing") from None
    except OSError as error:
        raise PackError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{file}: {error}") from None


_FILES = {"situations": "situations.toml", "slots": "slots.toml", "plays": "plays.toml"}
# Keys of a whole pack that stand in no pack.toml, and where they do.
_ELSEWHERE = {part: f", but in {file}" for part, file in _FILES.items()} | {
    "catalogs": ", but in catalogs/, a file each",
    "examples": ", but in examples/, a file for each situation",
    "version": ": it is computed from the files",
}


def _fault(
    path: Path, content: dict[str, Any], files: dict[str, list[Path]], location: tuple[int | str, ...], message: str
) -> str:
    """One fault as a line: file, key, what is wrong; list items go by their id where they have one."""
    part = str(location[0])
    keys = []
    value: Any = content
    for key in location:
        value = _child(value, key)
        named = value.get("id") or value.get("name") if isinstance(value, dict) else None
        keys.append(f"[{named or key}]" if isinstance(key, int) else f".{key}")
    where = path / _FILES.get(part, "pack.toml")
    if part in files:
        where = files[part][location[1]] if len(location) > 1 and isinstance(location[1], int) else path / part
    return f"{where}: {''.join(keys).lstrip('.')}: {message}"


def _child(value: object, key: int | str) -> Any:  # noqa: ANN401
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return value.get(key) if isinstance(value, dict) else None
