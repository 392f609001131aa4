"""Detect by likeness to the pack's examples: a kernel classifier that training fitted.

A message is compared with every example by its embedding (a Gaussian of the distance),
and by its words (a linear product, which folds into one weight a word). Each example
votes with its own weight for every situation; see `engine.local.training` for how the
weights come about, and `benchmarks/detector.py` for what it was measured against.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.conversation import SlotChange
from engine.domain import Domain
from engine.local.features import words
from engine.reconcile import Detection
from engine.stages import DetectInput, Vector

# Speculation and the second pass look at no more than these.
ALTERNATIVES_MAX = 7
# How wide an example's influence is: exp(-GAMMA * squared distance of the unit vectors).
GAMMA = 1.0
# The log odds that a change of a slot adds to the situations that expect it, shared among
# them. Across authors capture finds something in a third of the messages, and the likelihood
# is best at 1; the gain is small, a seventh of a point of accuracy.
EVIDENCE = 1.0
# A short message that begins like this goes on with what was talked of: "and for 60 users?"
_GOES_ON = re.compile(r"\W*(?:and|or|also|then|what about|how about|per|for|plus|with|without)\b", re.IGNORECASE)
_GOES_ON_WORDS_MAX = 7
# The log odds that this adds to the situation of the turn before.
CONTINUATION = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What training leaves, and all that serving needs. S situations, N examples, D dimensions of which K are kept."""

    situations: tuple[str, ...]
    # (D, K): onto the directions in which the examples differ most.
    projection: NDArray[np.float32]
    # (N, K), the projected examples; and (N, S), their votes; the temperature is divided in already.
    examples: NDArray[np.float32]
    votes: NDArray[np.float32]
    # (BUCKETS,) and (BUCKETS, S): see `engine.local.features`.
    idf: NDArray[np.float32]
    word_votes: NDArray[np.float32]
    # Under this probability the fallback is right more often than the likeliest situation.
    threshold: float

    def logits(self, message: str, vector: Vector) -> NDArray[np.float64]:
        """Log odds up to a constant, (S,)."""
        said = words(message, self.idf)
        meant = closeness(self.examples @ (vector @ self.projection)) @ self.votes
        total: NDArray[np.float64] = (meant + said.values @ self.word_votes[said.buckets]).astype(np.float64)
        return total


def goes_on(message: str) -> bool:
    """Whether a message makes sense only as a part of what was said before."""
    return bool(_GOES_ON.match(message)) and len(message.split()) <= _GOES_ON_WORDS_MAX


def closeness(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """The Gaussian of the distance between unit vectors, from their cosines; any shape."""
    near: NDArray[np.float32] = np.exp(np.float32(2 * GAMMA) * (cosines - np.float32(1)))
    return near


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return shares


class Detector:
    """Places messages in the situations of one pack."""

    def __init__(self, model: Model, domain: Domain) -> None:
        self._model = model
        self._fallback = domain.fallback.id
        self._evidence = _evidence(domain, model.situations)

    def __call__(self, value: DetectInput) -> Detection:
        """The likeliest situation, or the fallback where none is likely enough.

        In the second pass what capture found speaks too. What was detected before speaks only
        where a message plainly goes on with it: the examples are single messages, so there is
        nothing to learn from how situations follow each other.
        """
        logits = self._model.logits(value.message, value.vector) + self._heard(value.changes or ())
        if goes_on(value.message) and value.previous in self._model.situations and value.previous != self._fallback:
            logits[self._model.situations.index(value.previous)] += CONTINUATION
        shares = softmax(logits)
        names = self._model.situations
        ranked = [(names[place], float(shares[place])) for place in np.argsort(-shares, kind="stable")]
        if ranked[0][1] < self._model.threshold:
            ranked.sort(key=lambda item: item[0] != self._fallback)
        return Detection(*ranked[0], tuple(ranked[1 : ALTERNATIVES_MAX + 1]))

    def _heard(self, changes: Sequence[SlotChange]) -> NDArray[np.float64]:
        """The log odds that this turn's changes add, (S,); each slot counts once, whatever was done to it."""
        heard = np.zeros(len(self._model.situations))
        for name in {change.name for change in changes} & self._evidence.keys():
            heard += self._evidence[name]
        return heard


def _evidence(domain: Domain, situations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """What a slot says about the situations, (S,) each: the more situations expect it, the less."""
    expects = {
        slot.name: np.array([slot.name in domain.situations_by_id[name].expected_slots for name in situations])
        for slot in domain.slots
    }
    return {name: EVIDENCE * places / places.sum() for name, places in expects.items() if places.any()}
