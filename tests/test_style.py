"""Style as a test: nothing longer than a reader can hold, each exception with its reason.

The lists may only get shorter: an entry that is no longer needed fails as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

LONG_FUNCTIONS: dict[str, str] = {}
LONG_MODULES: dict[str, str] = {}


def modules() -> Iterator[tuple[str, str]]:
    for part in ("engine", "server", "tests", "benchmarks"):
        for path in sorted((ROOT / part).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def test_every_function_fits_a_screen() -> None:
    long = {
        f"{name}:{node.name}"
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == set(LONG_FUNCTIONS)


def test_every_module_can_be_read_in_one_go() -> None:
    assert {name for name, text in modules() if text.count("\n") > MODULE_LINES_MAX} == set(LONG_MODULES)


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, text in modules() if text.strip() and not ast.get_docstring(ast.parse(text))] == []
