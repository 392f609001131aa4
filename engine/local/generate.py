"""The built-in engine's replies: the selected play's lines, filled with what is known.

A reply is what policy obliges the agent to say, then an answer where the buyer has asked
something that the catalog answers, then the play's line. The line is one that can be
filled, was not said before in this conversation, and uses most of what is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.domain import Catalog, Domain, Policy
from engine.stages import GenerateInput, Vector
from engine.template import Template, parse

# From this cosine on a question is held for one that the catalog answers. A wrong answer costs
# more than an "I do not know": see benchmarks/answers.py.
ANSWER_MIN = 0.65
# In a reply whose play is not made to answer, only a clear match is answered first.
ANSWER_CLEAR_MIN = 0.7
_QUESTION = re.compile(
    r"\?|^\s*(?:what|how|who|where|when|which|why|can|could|do|does|did|is|are|will|would|should|may|have|has)\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")

# "Hi there." before a question is no second matter.
_GREETING_WORDS_MAX = 2

Encode = Callable[[str], Vector]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The questions that a catalog answers, as unit vectors, one row each."""

    vectors: NDArray[np.float32]
    # Of every row, the text of the answer.
    answers: tuple[str, ...]

    def closest(self, vector: Vector) -> tuple[str, float]:
        if not self.answers:
            return "", 0.0
        similarities = self.vectors @ vector
        best = int(similarities.argmax())
        return self.answers[best], float(similarities[best])


class Generate:
    """Writes replies from one pack."""

    def __init__(self, domain: Domain, encode: Encode) -> None:
        self._asked = {catalog.id: _asked(catalog, encode) for catalog in domain.catalogs}

    def __call__(self, value: GenerateInput) -> Iterator[str]:
        """The reply, a sentence at a time."""
        yield from re.split(r"(?<=[.!?])(?=\s)", self.reply(value))

    def reply(self, value: GenerateInput) -> str:
        """The whole reply."""
        policies = value.owed
        first = [_filled(policy.line, value) for policy in policies]
        if any(policy.alone for policy in policies) or (policies and not _says_more(value.message, policies)):
            return " ".join(first)
        answers_question = any("answer" in parse(line).names for line in value.play.lines)
        answer = self._answer(value, needed=answers_question)
        values = {**value.facts, "answer": answer} if answer else value.facts
        extra = answer and not answers_question
        line = _choose(value, [parse(line) for line in value.play.lines], values, brief=bool(extra))
        situation = value.domain.situations_by_id[value.situation]
        if extra:
            first.append(answer)
            if situation.fallback or situation.ignores_findings:
                # It was a fair question after all: "I did not get that" would be untrue.
                return " ".join(first)
        elif line is None:
            unknown = [parse(line) for line in value.domain.voice.unknown]
            line = _choose(value, unknown, values) or _filled(value.domain.voice.unknown[0], value)
        return " ".join(part for part in [*first, line or ""] if part)

    def _answer(self, value: GenerateInput, *, needed: bool) -> str:
        """The approved answer to what the buyer asks; empty where there is none."""
        if not _QUESTION.search(value.message) and not needed:
            return ""
        text, similarity = self._asked[value.catalog.id].closest(value.vector)
        if similarity < (ANSWER_MIN if needed else ANSWER_CLEAR_MIN):
            return ""
        answer = parse(text).render(value.facts) or ""
        # Who asks again is answered again; nobody is told twice what he did not ask for.
        just_said = any(answer in exchange.reply for exchange in value.history[-1:])
        return "" if just_said and not needed else answer


def _says_more(message: str, policies: Sequence[Policy]) -> bool:
    """Whether a message has a sentence besides those that the policies answer."""
    cues = [cue for policy in policies for cue in policy.cues]
    sentences = [sentence for sentence in _SENTENCES.split(message) if len(sentence.split()) > _GREETING_WORDS_MAX]
    return any(not any(re.search(cue, sentence, re.IGNORECASE) for cue in cues) for sentence in sentences)


def _asked(catalog: Catalog, encode: Encode) -> _Asked:
    asks = [(ask, answer.text) for answer in catalog.answers for ask in answer.asks]
    vectors = np.array([encode(ask) for ask, _ in asks], np.float32)
    return _Asked(vectors, tuple(text for _, text in asks))


def _filled(line: str, value: GenerateInput) -> str:
    return parse(line).render(value.facts) or ""


def _choose(
    value: GenerateInput, lines: Sequence[Template], values: Mapping[str, str], *, brief: bool = False
) -> str | None:
    """A line that was not said yet; of these the one that uses most of what is known, or least if it is to be brief.

    None if no line can be filled.
    """
    rendered = [(template, text) for template in lines if (text := template.render(values))]
    if not rendered:
        return None
    said = [exchange.reply for exchange in reversed(value.history)]

    def cost(item: tuple[int, tuple[Template, str]]) -> tuple[int, int, int]:
        place, (template, text) = item
        # Long ago is better than lately, never is best.
        ago = next((turns for turns, reply in enumerate(said) if text in reply), len(said))
        used = len(template.names & values.keys())
        return -ago, used if brief else -used, (place - len(said)) % len(rendered)

    return min(enumerate(rendered), key=cost)[1][1]
