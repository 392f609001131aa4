"""What an evaluation comes to, as values: figures beside their aims, tables, and both as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from server.evaluation.scores import share

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, and what it is meant to be."""

    name: str
    # A share, unless there is a unit: "ms", or "" with a whole number for a count.
    value: float
    aim: float | None = None
    # The aim is a ceiling, not a floor.
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """None where there is no aim."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most else self.value >= self.aim


@dataclass(frozen=True, slots=True)
class Grid:
    """A breakdown: a header and rows of as many cells; shares are floats."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """All that one kind of evidence says."""

    title: str
    # How it was measured, in a line.
    method: str
    figures: tuple[Figure, ...] = ()
    grids: tuple[Grid, ...] = ()


def ranking(title: str, name: str, counts: Counter[str], rows_max: int = 8) -> Grid:
    """The most frequent of what was counted, with their shares of all."""
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Grid(title, (name, "count", "share"), tuple((key, n, share(n, total)) for key, n in ordered[:rows_max]))


def tables(section: Section) -> Iterator[Table]:
    """A section for the terminal: its figures, then its breakdowns."""
    figures = Table(
        "figure", "value", "aim", "", title=escape(section.title), caption=escape(section.method), title_justify="left"
    )
    figures.columns[1].justify = figures.columns[2].justify = "right"
    for figure in section.figures:
        bound = "≤" if figure.at_most else "≥"
        aim = "" if figure.aim is None else f"{bound} {_shown(figure.aim, figure.unit)}"
        mark = {None: "", True: "[green]reached[/green]", False: "[red]missed[/red]"}[figure.reached]
        figures.add_row(escape(figure.name), _shown(figure.value, figure.unit), aim, mark)
    if section.figures:
        yield figures
    for grid in section.grids:
        table = Table(*grid.header, title=escape(grid.title), title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in grid.rows:
            table.add_row(*(escape(_shown(cell)) for cell in row))
        yield table


def as_json(section: Section) -> dict[str, Any]:
    """A section as plain values; a breakdown is a list of objects."""
    return {
        "title": section.title,
        "method": section.method,
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "aim": figure.aim,
                "at_most": figure.at_most,
                "reached": figure.reached,
            }
            for figure in section.figures
        ],
        "breakdowns": {
            grid.title: [dict(zip(grid.header, row, strict=True)) for row in grid.rows] for grid in section.grids
        },
    }


def _shown(value: Cell, unit: str = "") -> str:
    if isinstance(value, str):
        return value
    if unit:
        return f"{value:.2f} {unit}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
