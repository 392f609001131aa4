"""Definitions of the steps; no code that runs them."""

from __future__ import annotations

from engine.complexity import Tier, complexity, tier_for
from engine.stages import CaptureInput, CaptureOutput, DetectInput, DetectOutput, GenerateInput, Stage
from engine.step import Step


def _capture_tier(value: CaptureInput) -> Tier:
    # Copying words out of a message is easier than the message.
    return tier_for(complexity(value.message, len(value.known)), lift=-1)


def _detect_tier(value: DetectInput) -> Tier:
    return tier_for(complexity(value.message, len(value.known)))


def _generate_tier(value: GenerateInput) -> Tier:
    return tier_for(complexity(value.message, len(value.slots)))


CAPTURE: Step[CaptureInput, CaptureOutput] = Step("capture", 1, Stage.CAPTURE, _capture_tier)
DETECT: Step[DetectInput, DetectOutput] = Step("detect", 1, Stage.DETECT, _detect_tier)
GENERATE: Step[GenerateInput, str] = Step("generate", 1, Stage.GENERATE, _generate_tier)
