"""A reply that broke off and was taken up reads as one: nothing twice, nothing run together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llm.seam import Seam

SAID = "That makes sense. For 50 users, Team comes to"


def joined(said: str, *pieces: str) -> str:
    seam = Seam(said)
    return said + "".join(seam.feed(piece) for piece in pieces) + seam.finish()


@pytest.mark.parametrize(
    "pieces",
    [
        # It goes on as it should, with and without the blank.
        (" $2,450", " a month."),
        ("$2,450", " a month."),
        # It says the last words again, or all of it.
        ("Team comes to $2,450", " a month."),
        ("Team", " comes", " to", " $2,450 a month."),
        (SAID + " $2,450 a month.",),
        ("That makes", " sense. For 50 users, Team", " comes to", " $2,450 a month."),
    ],
)
def test_nothing_is_said_twice(pieces: tuple[str, ...]) -> None:
    assert joined(SAID, *pieces).replace("to$", "to $") == f"{SAID} $2,450 a month."


def test_words_do_not_run_together() -> None:
    assert joined("Tell me", "more.") == "Tell me more."
    assert joined("Tell me ", "more.") == "Tell me more."
    assert joined("Tell me", ", please.") == "Tell me, please."


def test_a_short_likeness_is_no_repetition() -> None:
    assert joined("It is a", "a big one") == "It is a a big one"
    assert joined("We have a plan", " and a plan B.") == "We have a plan and a plan B."


def test_a_second_text_that_only_repeats_adds_nothing() -> None:
    assert joined(SAID, SAID) == SAID
    assert joined(SAID) == SAID


@given(st.text(max_size=40), st.text(max_size=40), st.data())
def test_however_it_is_cut_into_pieces_it_reads_the_same(said: str, more: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(more)), max_size=5)))
    pieces = [more[start:end] for start, end in zip([0, *cuts], [*cuts, len(more)], strict=True)]
    text = joined(said, *pieces)
    assert text.startswith(said)
    # At most a blank is added, and at most what was said is left out.
    assert len(text) <= len(said) + len(more) + 1
    assert text.endswith(more[-1:]) or more.strip() in said
