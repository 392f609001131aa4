"""Definitions of the steps: what is asked of whom, in which words. No code that runs them."""

from engine.steps.capture import CAPTURE
from engine.steps.detect import DETECT
from engine.steps.generate import GENERATE

__all__ = ["CAPTURE", "DETECT", "GENERATE"]
