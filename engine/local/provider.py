"""The built-in engine as a provider: the same questions and answers as a remote model's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.local.capture import Capture
from engine.local.detect import Detector
from engine.local.generate import Generate
from engine.stages import CaptureInput, DetectInput, GenerateInput
from engine.step import In, Out, Step

NAME = "local"
MODEL = "built-in"


@dataclass(frozen=True, slots=True)
class Trained:
    """The three stages, made ready for one pack."""

    capture: Capture
    detect: Detector
    generate: Generate


class LocalProvider:
    """Answers the turn's three steps, for every pack that it was made ready for."""

    name = NAME

    def __init__(self, trained: Mapping[str, Trained]) -> None:
        """`trained` is keyed by the pack's id."""
        self.trained = trained
        self._answers: dict[str, Callable[[Any], object]] = {
            "capture": lambda value: self._of(value).capture(value),
            "detect": lambda value: self._of(value).detect(value),
        }

    def model(self, tier: Tier) -> tuple[str, Tier]:
        """There is one model, of the local tier, whatever was asked for."""
        return MODEL, Tier.LOCAL

    async def answer(self, step: Step[In, Out], value: In, deadline: Deadline) -> Out:
        """Answers at once: the work is well under a millisecond, less than a thread would cost."""
        return cast("Out", self._answers[step.name](value))

    async def stream(self, step: Step[In, str], value: In, deadline: Deadline) -> AsyncGenerator[str, None]:
        """The reply, a sentence at a time."""
        assert isinstance(value, GenerateInput), "the only text step of a turn"
        for piece in self._of(value).generate(value):
            yield piece

    def _of(self, value: CaptureInput | DetectInput | GenerateInput) -> Trained:
        return self.trained[value.domain.id]
