"""Detect by a classifier over the message's embedding, trained from the pack's examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.reconcile import Detection
from engine.stages import DetectInput, Vector

# Speculation and the second pass look at no more than these.
ALTERNATIVES_MAX = 7


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A linear classifier: what training leaves, and all that serving needs."""

    # The ids of the situations, in the order of the rows below.
    situations: tuple[str, ...]
    # (situations, dimensions) and (situations,); the temperature is divided in already.
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    # Under this probability the fallback is right more often than the likeliest situation.
    threshold: float

    def probabilities(self, vector: Vector) -> NDArray[np.float64]:
        """Calibrated, (situations,), from a unit vector (dimensions,)."""
        logits = (self.weights @ vector + self.bias).astype(np.float64)
        odds = np.exp(logits - logits.max())
        shares: NDArray[np.float64] = odds / odds.sum()
        return shares


class Detector:
    """Places messages in the situations of one pack."""

    def __init__(self, model: Model, fallback: str) -> None:
        self._model = model
        self._fallback = fallback

    def __call__(self, value: DetectInput) -> Detection:
        """The likeliest situation, or the fallback where none is likely enough."""
        shares = self._model.probabilities(value.vector)
        names = self._model.situations
        ranked = [(names[place], float(shares[place])) for place in np.argsort(-shares, kind="stable")]
        if ranked[0][1] < self._model.threshold:
            ranked.sort(key=lambda item: item[0] != self._fallback)
        return Detection(*ranked[0], tuple(ranked[1 : ALTERNATIVES_MAX + 1]))
