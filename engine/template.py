"""The lines of a domain pack: text with names to fill in, and parts that may be left out.

    "[For {quantity}, ]{product} is {price}.[ That comes to {total}.]"

`{name}` is replaced by a value. A part in square brackets is kept only if every name in
it has a value; a line as a whole can be rendered only if every name outside brackets has
one. Brackets do not nest. `{{`, `}}`, `[[` and `]]` stand for themselves; of
three in a row, the first two do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

_PART = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{(?P<name>[a-z][a-z0-9_.]*)\}|(?P<open>\[)|(?P<close>\])|(?P<stray>[{}])")


class TemplateError(ValueError):
    """A line that cannot be parsed; the message says where and why."""


@dataclass(frozen=True, slots=True)
class _Segment:
    # Literals and names in turn: even places are text, odd ones are names.
    parts: tuple[str, ...]
    optional: bool

    @property
    def names(self) -> tuple[str, ...]:
        return self.parts[1::2]

    def fill(self, values: Mapping[str, str]) -> str | None:
        if any(name not in values for name in self.names):
            return None
        return "".join(values[part] if place % 2 else part for place, part in enumerate(self.parts))


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed line."""

    segments: tuple[_Segment, ...]

    @property
    def required(self) -> frozenset[str]:
        """The names without which the line cannot be rendered."""
        return frozenset(name for segment in self.segments if not segment.optional for name in segment.names)

    @property
    def names(self) -> frozenset[str]:
        """All names, the optional ones too."""
        return frozenset(name for segment in self.segments for name in segment.names)

    def render(self, values: Mapping[str, str]) -> str | None:
        """The line with its values, or None where a required one is missing."""
        rendered = []
        for segment in self.segments:
            text = segment.fill(values)
            if text is None and not segment.optional:
                return None
            rendered.append(text or "")
        return "".join(rendered).strip()


@lru_cache(maxsize=4096)
def parse(line: str) -> Template:
    """Parses a line.

    Raises:
        TemplateError: on a bracket or brace that is not closed, or not opened.
    """
    segments: list[_Segment] = []
    parts = [""]
    optional = False
    at = 0

    def close_segment() -> None:
        if parts != [""]:
            segments.append(_Segment(tuple(parts), optional))
        parts[:] = [""]

    for match in _PART.finditer(line):
        parts[-1] += line[at : match.start()]
        at = match.end()
        if match["stray"]:
            raise TemplateError(f"stray {match['stray']!r} at {match.start()}; write it twice to mean itself")
        if match["name"]:
            parts += [match["name"], ""]
        elif match["open"] or match["close"]:
            if bool(match["open"]) == optional:
                raise TemplateError(f"unexpected {match[0]!r} at {match.start()}: brackets do not nest, and close")
            close_segment()
            optional = not optional
        else:
            parts[-1] += match[0][0]
    if optional:
        raise TemplateError("a '[' is never closed")
    parts[-1] += line[at:]
    close_segment()
    return Template(tuple(segments))
