"""What a domain pack is made of: situations, slots, plays, catalogs, policies, examples.

A pack is data; nothing in the engine knows what a pack is about. These types say what
may stand in it, `domain_lint` whether it makes sense as a whole, `packs` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property, wraps
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from engine.template import TemplateError, parse

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\|[a-z_]+)*)\}")
_ID = r"^[a-z][a-z0-9_]*$"
Id = Annotated[str, Field(pattern=_ID, max_length=64)]


def _line(line: str) -> str:
    try:
        parse(line)
    except TemplateError as error:
        raise ValueError(str(error)) from error
    return line


def _pattern(pattern: str) -> str:
    try:
        re.compile(_PLACEHOLDER.sub("X", pattern))
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


# What capture recognises in any message before it looks for cues; a cue stands for it by {name}.
SPANS = ("money", "percent", "quantity", "measure", "number", "period", "product")
# A reply's text, with names to fill in: see `engine.template`.
Line = Annotated[str, Field(min_length=1, max_length=600), AfterValidator(_line)]
# A regular expression, matched without regard to case, with placeholders for typed spans.
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]


class PackModel(BaseModel):
    """Frozen, and closed: a key that is not known is an error, not a typo that goes unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))


class SlotType(StrEnum):
    """What a slot holds; it decides how its values are read and normalised."""

    TEXT = "text"
    # One of the ids that its cues name.
    ENUM = "enum"
    MONEY = "money"
    # How many of something.
    QUANTITY = "quantity"
    # Any figure with a unit: money, a percentage, hours a week.
    MEASURE = "measure"
    PERIOD = "period"
    # A name, from a lexicon of the pack or as the buyer writes it.
    ENTITY = "entity"
    # The id of a product of a catalog.
    PRODUCT = "product"


class Cue(PackModel):
    """One way in which buyers say something: a pattern over the message.

    Placeholders stand for spans that were recognised before: `{money}`, `{percent}`,
    `{quantity}`, `{measure}` (a length of time or a size), `{number}`, `{period}`,
    `{product}`, the name of a lexicon, or several joined by `|`. `{clause}` is the rest of
    the clause, `{name}` a capitalised name. The quote is the clause, else the span of the
    first placeholder, which must take part in every match, unless a group named `span`
    says otherwise; with a `value`, or without a placeholder, it is the whole match.
    A match starts at a word or a span, never inside a word.
    """

    pattern: Pattern
    # The value, where the pattern captures none.
    value: str = ""
    retract: bool = False
    confidence: float = Field(default=0.9, gt=0, le=1)
    # The cue does not count where this matches in the same sentence.
    unless: Pattern | None = None

    @property
    def placeholders(self) -> frozenset[str]:
        patterns = f"{self.pattern} {self.unless or ''}"
        return frozenset(name for names in _PLACEHOLDER.findall(patterns) for name in names.split("|"))


class Slot(PackModel):
    """One thing that is worth knowing about a buyer."""

    name: Id
    type: SlotType
    description: str
    # Holds several values at a time.
    several: bool = False
    # A change of it makes a turn eligible for a second detection.
    critical: bool = False
    cues: tuple[Cue, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """The ids that an enum may take."""
        return tuple(dict.fromkeys(cue.value for cue in self.cues if cue.value))


class Situation(PackModel):
    """Where a message puts the conversation."""

    id: Id
    stage: str
    definition: str
    expected_slots: tuple[Id, ...] = ()
    # The plays that fit, best first.
    plays: tuple[Id, ...] = Field(min_length=1)
    # Situations that careful people confuse with it; documented before anything was measured.
    neighbours: tuple[Id, ...] = ()
    # Where nothing else is likely enough. Exactly one situation is.
    fallback: bool = False
    # What is said in it is not believed: the slots stay as they were.
    ignores_findings: bool = False


class DealSize(StrEnum):
    """How large a deal a play is made for."""

    ANY = "any"
    SMALL = "small"
    LARGE = "large"


class Play(PackModel):
    """A way to answer."""

    id: Id
    # The method it comes from, for example "SPIN".
    source: str
    # The principle that it applies, in a few words.
    principle: str
    # What to do, for whoever writes the reply.
    strategy: str
    # Slots that must be known.
    requires: tuple[Id, ...] = ()
    # Situations, now or a turn ago, in which it would do harm.
    forbidden_when: tuple[Id, ...] = ()
    needs_grounded_fact: bool = False
    deal_size: DealSize = DealSize.ANY
    # May be used turn after turn: it answers what was asked.
    repeatable: bool = False
    # The built-in engine's replies.
    lines: tuple[Line, ...] = Field(min_length=1)


class Product(PackModel):
    """Something with a price."""

    id: Id
    name: str
    # Other names under which buyers ask for it.
    aliases: tuple[str, ...] = ()
    summary: str
    # Only products of one category are set against each other.
    category: str = ""
    price: float = Field(ge=0)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    # What the price is for, in words: "user per month"; empty for one piece.
    per: str = ""
    # The same price paid by the year, per month; 0 where there is none.
    price_yearly: float = Field(default=0, ge=0)
    # What one of it is called, for totals: ("user", "users").
    counted: tuple[str, str] = ("piece", "pieces")
    # The lowest price that the policy allows, for one.
    price_floor: float = Field(default=0, ge=0)


class Answer(PackModel):
    """An approved answer to a question, and ways in which buyers ask it."""

    id: Id
    text: Line
    asks: tuple[str, ...] = Field(min_length=2)


class Catalog(PackModel):
    """What one vendor sells, and what may be said about it."""

    id: Id
    vendor: str
    # Words in a message that mean this vendor's trade.
    terms: tuple[str, ...] = ()
    # The product that is meant where none is named.
    default_product: Id
    products: tuple[Product, ...] = Field(min_length=1)
    # Approved sentences by name, for the lines of the plays.
    facts: dict[Id, Line]
    answers: tuple[Answer, ...] = ()

    @model_validator(mode="after")
    def _the_default_exists(self) -> Self:
        if self.product(self.default_product) is None:
            raise ValueError(f"default_product: there is no product {self.default_product}")
        return self

    def product(self, product_id: str) -> Product | None:
        return next((product for product in self.products if product.id == product_id), None)


class Policy(PackModel):
    """What the agent owes the buyer whatever the play: disclosure, opting out."""

    id: Id
    cues: tuple[Pattern, ...] = Field(min_length=1)
    line: Line
    # The line is all that is said in this turn.
    alone: bool = False


class Voice(PackModel):
    """How the agent speaks, and what it says where nothing else fits."""

    tone: str
    # A question that no approved answer covers.
    unknown: tuple[Line, ...] = Field(min_length=2)
    # A figure that could not be verified was held back.
    unverified: Line
    # A reply that could not be finished ends with it.
    cut_short: Line


class Example(PackModel):
    """A message and the situation it belongs to."""

    message: str = Field(min_length=1)
    situation: Id


class Domain(PackModel):
    """A whole pack."""

    id: Id
    title: str
    # SHA-256 over all that the pack's files hold; changes with any of them.
    version: str
    voice: Voice
    situations: tuple[Situation, ...]
    slots: tuple[Slot, ...]
    plays: tuple[Play, ...]
    catalogs: tuple[Catalog, ...] = Field(min_length=1)
    # Where nothing that was said points to another one.
    default_catalog: Id
    # A situation that is less likely than this is asked about before it is acted on.
    unsure_below: float = Field(default=0, ge=0, le=1)
    policies: tuple[Policy, ...] = ()
    # Names to recognise in messages: canonical form → other forms, by lexicon.
    lexicons: dict[Id, dict[str, tuple[str, ...]]] = {}
    examples: tuple[Example, ...] = ()

    @field_validator("situations")
    @classmethod
    def _one_is_the_fallback(cls, situations: tuple[Situation, ...]) -> tuple[Situation, ...]:
        if sum(situation.fallback for situation in situations) != 1:
            raise ValueError("exactly one must have fallback = true")
        return situations

    @field_validator("default_catalog")
    @classmethod
    def _the_default_exists(cls, default: str, info: ValidationInfo) -> str:
        if "catalogs" in info.data and all(catalog.id != default for catalog in info.data["catalogs"]):
            raise ValueError(f"there is no catalog {default}")
        return default

    @cached_property
    def home(self) -> Catalog:
        """The default catalog."""
        return next(catalog for catalog in self.catalogs if catalog.id == self.default_catalog)

    @cached_property
    def fallback(self) -> Situation:
        return next(situation for situation in self.situations if situation.fallback)

    @cached_property
    def situations_by_id(self) -> dict[str, Situation]:
        return {situation.id: situation for situation in self.situations}

    @cached_property
    def plays_by_id(self) -> dict[str, Play]:
        return {play.id: play for play in self.plays}

    @cached_property
    def slots_by_name(self) -> dict[str, Slot]:
        return {slot.name: slot for slot in self.slots}

    @cached_property
    def lists(self) -> frozenset[str]:
        """The names of the slots that hold several values."""
        return frozenset(slot.name for slot in self.slots if slot.several)

    @cached_property
    def critical(self) -> frozenset[str]:
        return frozenset(slot.name for slot in self.slots if slot.critical)


_PACKS_MAX = 32


def per_pack(make: Callable[[Domain], T]) -> Callable[[Domain], T]:
    """Remembers what is made of a pack, by its version: to hash all that a pack holds would take longer."""
    made: dict[tuple[str, str], T] = {}

    @wraps(make)
    def remembered(domain: Domain) -> T:
        key = (domain.id, domain.version)
        if key not in made:
            if len(made) >= _PACKS_MAX:
                made.pop(next(iter(made)))
            made[key] = make(domain)
        return made[key]

    return remembered
