"""How powerful a model a piece of work needs: pure heuristics over its text and state.

The thresholds are the original service's: short and sparse is simple, long, rich or
many-sided is complex, the rest is ordinary.
"""

from __future__ import annotations

import re
from enum import StrEnum

SIMPLE_WORDS_MAX = 14
SIMPLE_SLOTS_MAX = 1
COMPLEX_WORDS_MIN = 61
COMPLEX_SLOTS_MIN = 9
COMPLEX_QUESTIONS_MIN = 2
COMPLEX_TERMS_MIN = 2


class Tier(StrEnum):
    """Classes of models, weakest first."""

    LOCAL = "local"
    FAST = "fast"
    POWERFUL = "powerful"


class Complexity(StrEnum):
    """How much a message asks of whoever answers it."""

    SIMPLE = "simple"
    ORDINARY = "ordinary"
    COMPLEX = "complex"


# Words of contracts, security and integration: what needs care, in whatever trade.
_TERM = re.compile(
    r"\b(?:indemnif\w*|liabilit\w*|jurisdiction|compliance|complian\w*|gdpr|hipaa|soc ?2|iso ?27001|audit\w*|sla|"
    r"msa|dpa|subprocessor\w*|encrypt\w*|residency|retention|penetration|sso|saml|scim|oauth|webhook\w*|api|"
    r"integrat\w*|migrat\w*|architecture|throughput|latency|amorti[sz]\w*|depreciat\w*|roi|tco|procurement|"
    r"tender|escrow|warrant\w*|terminat\w*|clause\w*)\b",
    re.IGNORECASE,
)


def complexity(message: str, known_slots: int) -> Complexity:
    """Rates a message by its length, its questions, its terms, and how much is known."""
    words = len(message.split())
    questions = len(re.findall(r"\?+", message))
    terms = len({term.lower() for term in _TERM.findall(message)})
    if (
        words >= COMPLEX_WORDS_MIN
        or known_slots >= COMPLEX_SLOTS_MIN
        or questions >= COMPLEX_QUESTIONS_MIN
        or terms >= COMPLEX_TERMS_MIN
    ):
        return Complexity.COMPLEX
    if words <= SIMPLE_WORDS_MAX and known_slots <= SIMPLE_SLOTS_MAX and not terms:
        return Complexity.SIMPLE
    return Complexity.ORDINARY


def tier_for(rating: Complexity, *, lift: int = 0) -> Tier:
    """The tier for a rating, lifted or lowered by what the task itself needs.

    Args:
        rating: the message's.
        lift: +1 for a task that is harder than its text looks (writing a reply), -1 for
            one that is easier (copying words out of a message).
    """
    order = [Complexity.SIMPLE, Complexity.ORDINARY, Complexity.COMPLEX]
    needed = order.index(rating) + lift
    return Tier.POWERFUL if needed >= 2 else Tier.FAST
