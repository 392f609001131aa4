"""PersuasionForGood (Wang et al., ACL 2019): how refusals and promises of another trade are read.

Sentences of people who are asked for a donation, labelled by readers, each analysed on its own
without what was said before. Nothing here was written for sales, so this is a test of transfer;
some labels only hold in context ("No, I can do it." agrees), which bounds what can be reached.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from rich.progress import Progress

from server.evaluation.figures import Figure, Section, ranking
from server.evaluation.scores import share
from server.evaluation.service import Service, each

FILE = Path("persuasion_for_good", "annotated_300.jsonl")
REFUSES = frozenset({"disagree-donation"})
AGREES = frozenset({"agree-donation", "provide-donation-amount"})
REFUSAL, COMMITMENT = "rejection_opt_out", "commitment"
# Situations of the sales pack in which a buyer holds back, and in which a buyer moves forward.
HOLDS_BACK = frozenset(
    {REFUSAL, "timing_stall", "budget_constraint", "price_objection", "authority_deferral", "status_quo"}
    | {"trust_skepticism", "risk_terms_concern", "indecision"}
)
MOVES_ON = frozenset({COMMITMENT, "buying_signal", "price_negotiation"})


class Sentence(BaseModel):
    """A labelled sentence of one side."""

    role: str
    text: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Group:
    """Sentences of one label, and where they were placed."""

    name: str
    situations: Counter[str]

    def of(self, wanted: frozenset[str]) -> float:
        return share(sum(self.situations[name] for name in wanted), self.situations.total())


def read(data: Path) -> list[Sentence]:
    """All sentences of those who were asked that refuse or agree, and do not do both."""
    dialogues = (json.loads(line) for line in (data / FILE).read_text().splitlines())
    sentences = (Sentence.model_validate(sentence) for dialogue in dialogues for sentence in dialogue["sentences"])
    return [
        sentence
        for sentence in sentences
        if sentence.role == "persuadee"
        and sentence.text.strip()
        and bool(sentence.labels & REFUSES) != bool(sentence.labels & AGREES)
    ]


async def evaluate(service: Service, sentences: Sequence[Sentence], domain: str, progress: Progress) -> Section:
    """Where refusals and promises are placed, misses and all."""

    async def place(sentence: Sentence) -> str:
        answer = await service.analyze(sentence.text, domain=domain)
        return answer.situation.id if answer else "(failed)"

    placed = await each(sentences, place, progress, "PersuasionForGood")
    refusals = _group("Refusals", sentences, placed, REFUSES)
    agreed = _group("Promises: agree-donation", sentences, placed, frozenset({"agree-donation"}))
    amounts = _group("Promises: provide-donation-amount", sentences, placed, frozenset({"provide-donation-amount"}))
    promises = _group("Promises", sentences, placed, AGREES)
    return Section(
        "Transfer: PersuasionForGood",
        f"{refusals.situations.total()} refusals and {promises.situations.total()} promises, sentence by sentence "
        "through Analyze; a sentence may have both labels of a promise",
        (
            Figure("failed calls", service.errors.total(), 0, at_most=True),
            Figure(f"refusals: {REFUSAL}", refusals.of(frozenset({REFUSAL}))),
            Figure("refusals: any situation that holds back", refusals.of(HOLDS_BACK)),
            Figure("refusals: taken for moving on", refusals.of(MOVES_ON)),
            Figure(f"promises: {COMMITMENT}", promises.of(frozenset({COMMITMENT}))),
            Figure("promises: any situation that moves on", promises.of(MOVES_ON)),
            Figure("promises: taken for holding back", promises.of(HOLDS_BACK)),
        ),
        tuple(
            ranking(f"{group.name}, placed in", "situation", group.situations) for group in (refusals, agreed, amounts)
        ),
    )


def _group(name: str, sentences: Sequence[Sentence], placed: Sequence[str], labels: frozenset[str]) -> _Group:
    return _Group(name, Counter(at for sentence, at in zip(sentences, placed, strict=True) if sentence.labels & labels))
