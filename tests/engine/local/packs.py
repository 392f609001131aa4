"""A tiny pack and an encoder without a model, for tests of the detector."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.domain import Catalog, Domain, Example, Product, Situation, Slot, SlotType, Voice
from engine.stages import Vector

_MESSAGES = {
    "price_inquiry": (
        "how much is it",
        "what does it cost",
        "how much for the sofa",
        "what is the price",
        "price please",
    ),
    "price_objection": (
        "that is too expensive",
        "way too expensive",
        "too much for a sofa",
        "far too expensive for me",
    ),
    "opening": ("hello", "hello there", "good morning", "good morning all", "hello good morning"),
    "no_match": ("ok", "hmm ok", "as i said", "the second one", "right ok"),
}
_MEANINGS = ("much", "cost", "price", "expensive", "too", "hello", "morning", "ok", "said", "second", "sofa")


def tiny_domain(version: str = "1") -> Domain:
    """Four situations, a handful of examples each; two situations expect the slot `objection`."""
    expected = {"price_objection": ("objection", "budget"), "price_inquiry": ("budget",)}
    situations = tuple(
        Situation(
            id=name,
            stage="any",
            definition=name,
            plays=("any",),
            expected_slots=expected.get(name, ()),
            fallback=name == "no_match",
        )
        for name in _MESSAGES
    )
    product = Product(id="sofa", name="Sofa", summary="A sofa", price=100, currency="USD")
    return Domain(
        id="tiny",
        title="Tiny",
        version=version,
        voice=Voice(tone="plain", unknown=("I do not know.", "No idea."), unverified="Unsure.", cut_short="More soon."),
        situations=situations,
        slots=tuple(Slot(name=name, type=SlotType.TEXT, description=name) for name in ("objection", "budget")),
        plays=(),
        default_catalog="sofas",
        catalogs=(Catalog(id="sofas", vendor="Sofas", default_product="sofa", products=(product,), facts={}),),
        examples=tuple(Example(message=text, situation=name) for name, texts in _MESSAGES.items() for text in texts),
    )


@dataclass
class FakeEmbedder:
    """Counts a few words; knows how often it was asked."""

    id: str = "fake"
    asked: list[str] = field(default_factory=list)

    def encode(self, text: str) -> Vector:
        self.asked.append(text)
        counts = np.array([0.1, *(word in text.casefold().split() for word in _MEANINGS)], np.float32)
        vector: Vector = counts / np.linalg.norm(counts)
        return vector

    async def embed(self, text: str) -> Vector:
        return self.encode(text)
