"""Joins a text that broke off with the text that goes on from it. Pure.

A model that is asked to go on often begins a little before the break, or at the very
start: what was said already is cut from what it writes. And it rarely knows whether the
break was between two words.
"""

from __future__ import annotations

# A repetition shorter than this may be chance.
_REPEATED_CHARS_MIN = 8


class Seam:
    """Takes the second text piece by piece, and gives what is new of it."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._held = ""
        self._is_joined = False

    def feed(self, piece: str) -> str:
        """What can be said of it now: nothing while all of it may be a repetition."""
        if self._is_joined:
            return piece
        self._held += piece
        return "" if self._held.lstrip() in self._said else self.finish()

    def finish(self) -> str:
        """What is still held back of a text that is over."""
        held, self._held = self._held, ""
        if self._is_joined or not held:
            return ""
        self._is_joined = True
        begun = held.lstrip()
        repeated = _overlap(self._said, begun)
        if repeated == len(begun):
            return ""
        if repeated:
            return begun[repeated:]
        apart = self._said[-1:].isspace() or held[0].isspace() or not held[0].isalnum()
        return held if apart or not self._said else f" {held}"


def _overlap(said: str, new: str) -> int:
    """How many characters `new` begins with that `said` ends with; 0 where they are too few to mean it."""
    longest = min(len(said), len(new))
    for length in range(longest, min(longest, _REPEATED_CHARS_MIN) - 1, -1):
        if length and said.endswith(new[:length]):
            return length if length >= _REPEATED_CHARS_MIN or length == len(said) else 0
    return 0
