"""Small domain packs for tests: a shop that hires out and sells bikes, sound in every respect.

`bike_shop()` is the whole pack; `bike_shop(slots=..., plays=...)` is the same with parts of
it replaced. `situation`, `play`, `slot`, `product` and `catalog` make one part each, with
every field that a test does not care about filled in.
"""

from __future__ import annotations

from typing import Any

from engine.conversation import Amount, SlotValue
from engine.domain import Catalog, Cue, Domain, Example, Play, Policy, Product, Situation, Slot, SlotType, Voice

LINES = ("All right.", "Very well.", "Fine with me.")


def situation(id_: str, *plays: str, **fields: Any) -> Situation:
    return Situation(id=id_, stage="any", definition=f"The buyer is at {id_}.", plays=plays or ("ask",), **fields)


def play(id_: str, *lines: str, **fields: Any) -> Play:
    return Play(id=id_, source="SPIN", principle="Ask.", strategy="Ask first.", lines=lines or LINES, **fields)


def slot(name: str, type_: SlotType = SlotType.TEXT, *cues: Cue | str, **fields: Any) -> Slot:
    """A slot with its cues; a cue may be given by its pattern alone."""
    made = tuple(Cue(pattern=cue) if isinstance(cue, str) else cue for cue in cues)
    return Slot(name=name, type=type_, description=f"The buyer's {name}.", cues=made, **fields)


def product(id_: str, price: float, **fields: Any) -> Product:
    named = {"name": id_.replace("_", " ").title(), "summary": f"a fine {id_}", "currency": "USD"}
    return Product.model_validate({**named, "id": id_, "price": price, **fields})


def catalog(id_: str, *products: Product, **fields: Any) -> Catalog:
    given = {"vendor": id_.title(), "default_product": products[0].id, "facts": {}}
    return Catalog.model_validate({**given, "id": id_, "products": products, **fields})


def budget(low: float, high: float | None = None, unit: str = "USD", per: str = "") -> SlotValue:
    """A slot value that holds an amount."""
    amount = Amount(low, low if high is None else high, unit, per)
    return SlotValue(f"{low:g} {unit}", typed=amount)


def examples(*situations: str, each: int = 20) -> tuple[Example, ...]:
    return tuple(Example(message=f"{name} in words {n}", situation=name) for name in situations for n in range(each))


_SHOP: dict[str, Any] = {
    "id": "bikes",
    "title": "Bike shop",
    "version": "1",
    "voice": Voice(
        tone="plain",
        unknown=("I do not know that.", "Let me find out."),
        unverified="I left a figure out.",
        cut_short="More in a moment.",
    ),
    "situations": (
        situation("opening", "greet", "ask", neighbours=("other",)),
        situation("haggling", "hold_price", "offer_cheaper", "ask", expected_slots=("price_offer",)),
        situation("other", "ask", fallback=True, neighbours=("opening",)),
    ),
    "slots": (
        slot("pain", SlotType.TEXT, "(?:sick of|tired of) {clause}", several=True, critical=True),
        slot("budget", SlotType.MONEY, "budget is {money|number}", "have {money}", critical=True),
        slot("price_offer", SlotType.MONEY, "would you take {money|number}"),
        slot("quantity", SlotType.QUANTITY, "need {quantity|number}"),
        slot("product_interest", SlotType.PRODUCT, "{product}"),
        slot("timeline", SlotType.PERIOD, "{period}"),
        slot("impact", SlotType.MEASURE, "costs us {money|percent|measure}"),
        slot(
            "objection",
            SlotType.ENUM,
            Cue(pattern="too expensive", value="price"),
            Cue(pattern="(?:bad|wrong) time", value="timing"),
            several=True,
            critical=True,
        ),
        slot(
            "competitor",
            SlotType.ENTITY,
            "looking at {brands|name}",
            Cue(pattern="no longer look at {brands}", retract=True),
            several=True,
        ),
    ),
    "plays": (
        play("greet", "Welcome to {vendor}.", "Hello, this is {vendor}.", "Good day from {vendor}.", repeatable=True),
        play("ask", "What do you need?", "What matters most to you?", "Tell me more."),
        play(
            "hold_price",
            "[For {quantity}, ]{product} is {price}.",
            "{product} is {price}. {guarantee}",
            "It is {price}, and worth it.",
            needs_grounded_fact=True,
        ),
        play(
            "offer_cheaper",
            "There is {cheaper}.",
            "What about {cheaper}?",
            "I also have {cheaper}.",
            requires=("price_offer",),
            forbidden_when=("opening",),
        ),
    ),
    "catalogs": (
        catalog(
            "bikes",
            product("city", 500, aliases=("city bike",), counted=("bike", "bikes")),
            product("cargo", 2450.5, counted=("bike", "bikes")),
            terms=("bike", "saddle"),
            facts={"guarantee": "Every bike has a guarantee of 2 years."},
        ),
        catalog(
            "hire",
            product("weekly", 49, per="bike per month", price_yearly=39, counted=("bike", "bikes")),
            terms=("rent", "hire"),
            facts={"guarantee": "Repairs are free."},
        ),
    ),
    "default_catalog": "bikes",
    "policies": (Policy(id="disclosure", cues=(r"\bare you a (?:bot|robot)\b",), line="I am an AI assistant."),),
    "lexicons": {"brands": {"Trek": ("trek bikes",), "Giant": ()}},
    "examples": examples("opening", "haggling", "other"),
}


def bike_shop(**changes: Any) -> Domain:
    """The whole pack, validated, with some of its parts replaced."""
    return Domain.model_validate({**_SHOP, **changes})
