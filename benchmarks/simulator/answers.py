"""Who answers: a script, or Repartee's built-in engine behind the prompts of its own steps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulator.wire import Ask
from engine import facts
from engine.conversation import SlotValue
from engine.domain import Catalog, Domain
from engine.local.provider import Trained
from engine.reading import reader
from engine.stages import CaptureInput, DetectInput, GenerateInput

Encode = Callable[[str], NDArray[np.float32]]


class Answerer(Protocol):
    """Answers a question in text; in JSON where it comes with a schema."""

    def __call__(self, ask: Ask) -> str: ...


class Scripted:
    """The same answers for ever: a text, and JSON that fits whatever schema is asked for."""

    def __init__(self, text: str = "Happy to help. What would you like to know first?") -> None:
        self._text = text

    def __call__(self, ask: Ask) -> str:
        return json.dumps(sample(ask.schema)) if ask.schema else self._text


def sample(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401  (JSON)
    """The plainest value that fits a JSON schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            return {name: sample(of) for name, of in schema.get("properties", {}).items()}
        case "array":
            return []
        case "number":
            return 0.5
        case "integer":
            return 1
        case "boolean":
            return True
        case _:
            return ""


_LINE = {
    "message": re.compile(r"^Buyer's message \(data\): (\".*\")$", re.MULTILINE),
    "today": re.compile(r"^Today: (\S+)$", re.MULTILINE),
    "situation": re.compile(r"^The buyer's situation: (.*)$", re.MULTILINE),
    "play": re.compile(r"^Play: (.*)$", re.MULTILINE),
    "known": re.compile(r"^Known(?: of the buyer)? \(data\): (\".*\")$", re.MULTILINE),
    "written": re.compile(r"^You have written this part .*: (\".*\")$", re.MULTILINE),
}


class BuiltIn:
    """Reads the input of a step out of its prompt, and has the built-in engine answer it."""

    def __init__(self, domain: Domain, trained: Trained, encode: Encode) -> None:
        self._domain = domain
        self._trained = trained
        self._encode = encode
        self._otherwise = Scripted()

    def __call__(self, ask: Ask) -> str:
        said = {name: match[1] for name, line in _LINE.items() if (match := line.search(ask.user))}
        if "message" not in said:
            return self._otherwise(ask)
        message = str(json.loads(said["message"]))
        if ask.schema is None:
            return self._reply(ask, message, said)
        return json.dumps(self._found(message, said) if "findings" in str(ask.schema) else self._placed(message))

    def _found(self, message: str, said: Mapping[str, str]) -> dict[str, Any]:
        today = date.fromisoformat(said["today"])
        asked = CaptureInput(self._domain, message, self._known(said.get("known", '""'), "=", today), today, 1)
        found = []
        for finding in self._trained.capture(asked).findings:
            value = finding.value
            options = self._domain.slots_by_name[finding.slot].values
            found.append(
                {
                    "slot": finding.slot,
                    "quote": value.quote if value else "",
                    "value": value.text if value and value.text in options else "",
                    "op": "retract" if finding.retracted else "set",
                }
            )
        return {"findings": found}

    def _placed(self, message: str) -> dict[str, Any]:
        detection = self._trained.detect(DetectInput(self._domain, message, self._encode(message), {}, "", ()))
        return {
            "situation": detection.situation,
            "confidence": round(min(1.0, detection.confidence), 3),
            "runner_up": detection.runner_up[0],
        }

    def _reply(self, ask: Ask, message: str, said: Mapping[str, str]) -> str:
        """The play's line; where a part of it is written already, what comes after that."""
        domain, catalog = self._domain, self._catalog(ask.system)
        slots = self._known(said.get("known", '""'), ":", date(2026, 11, 21))
        play = next(
            (one for one in domain.plays if f"{one.principle}. {one.strategy}" == said.get("play")), domain.plays[0]
        )
        situation = next(
            (one.id for one in domain.situations if one.definition == said.get("situation")), domain.fallback.id
        )
        known = facts.values(domain, catalog, slots)
        vector = self._encode(message)
        reply = self._trained.generate.reply(
            GenerateInput(domain, catalog, message, vector, slots, situation, play, (), known)
        )
        written = str(json.loads(said.get("written", '""')))
        return reply[len(written) :] if written and reply.startswith(written.lstrip()) else reply

    def _catalog(self, system: str) -> Catalog:
        return next((one for one in self._domain.catalogs if f"answer for {one.vendor}." in system), self._domain.home)

    def _known(self, fenced: str, sign: str, today: date) -> dict[str, tuple[SlotValue, ...]]:
        known = {}
        for part in str(json.loads(fenced)).split("; "):
            name, _, text = part.partition(sign)
            if name in self._domain.slots_by_name and text.strip():
                known[name] = _read(self._domain, name, text.strip(), today)
        return {name: values for name, values in known.items() if values}


def _read(domain: Domain, name: str, text: str, today: date) -> tuple[SlotValue, ...]:
    try:
        return (reader(domain).given(name, text, today),)
    except ValueError:
        # Cut, or in a form that only the conversation's own reading gave.
        return ()
