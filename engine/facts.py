"""What the agent may state as fact in a reply: from the catalog, the policy and the state.

Prices and totals are computed here, never written by a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from engine.conversation import Amount, Exchange, Period, Slots, SlotValue
from engine.domain import Catalog, Domain, Policy, Product, SlotType
from engine.price_guard import Known, known_in
from engine.template import parse

# Reading a whole pack for figures takes milliseconds; it changes only with the pack.
_KNOWN_MAX = 32
_known: dict[tuple[str, str, str], Known] = {}
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥"}


def money(value: float, currency: str) -> str:
    """An amount for reading: "$2,450", "$49.50", "CHF 1,200"."""
    rounded = Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    digits = f"{rounded:,.0f}" if rounded == rounded.to_integral_value() else f"{rounded:,.2f}"
    return f"{_SYMBOLS[currency]}{digits}" if currency in _SYMBOLS else f"{currency} {digits}"


def owed(domain: Domain, message: str) -> tuple[Policy, ...]:
    """The policies whose cue stands in the message, in the pack's order."""
    return tuple(
        policy for policy in domain.policies if any(re.search(cue, message, re.IGNORECASE) for cue in policy.cues)
    )


def catalog_for(domain: Domain, slots: Slots, message: str, history: Iterable[Exchange]) -> Catalog:
    """The catalog that the talk is about.

    The product that the buyer is interested in decides; else the latest message with a
    word of a catalog's trade; else the pack's default.
    """
    for slot in domain.slots:
        if slot.type is SlotType.PRODUCT and slots.get(slot.name):
            wanted = slots[slot.name][-1].text
            for catalog in domain.catalogs:
                if catalog.product(wanted):
                    return catalog
    said = [message, *(exchange.message for exchange in reversed(tuple(history)))]
    for text in said:
        words = set(re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()))
        best = max(domain.catalogs, key=lambda catalog: (len(words & set(catalog.terms)), catalog is domain.home))
        if words.intersection(best.terms):
            return best
    return domain.home


def product_for(domain: Domain, catalog: Catalog, slots: Slots) -> Product:
    """The product that the buyer is interested in, else the catalog's default."""
    for slot in domain.slots:
        if slot.type is SlotType.PRODUCT:
            for value in reversed(slots.get(slot.name, ())):
                if product := catalog.product(value.text):
                    return product
    default = catalog.product(catalog.default_product)
    assert default is not None, "a catalog without its default product is refused"
    return default


def values(domain: Domain, catalog: Catalog, slots: Slots) -> dict[str, str]:
    """Every name that a line may use, with its text; what is not known has no entry.

    Slots go under their own names; enumerations under theirs as words. Computed are
    `product`, `summary`, `price`, `total`, `yearly_total`, `cheaper` and `options`.
    """
    named = {name: _readable(slot_values[-1]) for name, slot_values in slots.items() if slot_values}
    product = product_for(domain, catalog, slots)
    named |= {"vendor": catalog.vendor, "product": product.name, "summary": product.summary}
    named["price"] = money(product.price, product.currency) + (f" per {product.per}" if product.per else "")
    named |= _totals(domain, product, slots)
    named |= _other_options(catalog, product)
    for name, fact in catalog.facts.items():
        text = parse(fact).render(named)
        if text is not None:
            named[name] = text
    return named


def known(domain: Domain, catalog: Catalog) -> Known:
    """Every figure that the pack has approved for this catalog."""
    key = (domain.id, domain.version, catalog.id)
    if key not in _known:
        if len(_known) >= _KNOWN_MAX:
            _known.pop(next(iter(_known)))
        products = catalog.products
        texts = [
            *catalog.facts.values(),
            *(answer.text for answer in catalog.answers),
            catalog.vendor,
            *(text for product in products for text in (product.name, product.summary, product.per)),
            *(line for play in domain.plays for line in play.lines),
            *(policy.line for policy in domain.policies),
            *domain.voice.unknown,
            domain.voice.unverified,
            domain.voice.cut_short,
        ]
        prices = [price for product in products for price in (product.price, product.price_yearly) if price]
        _known[key] = known_in(texts, prices)
    return _known[key]


def quantity(domain: Domain, slots: Slots) -> float | None:
    """How many the buyer wants, where that is known exactly."""
    for slot in domain.slots:
        if slot.type is SlotType.QUANTITY:
            for value in reversed(slots.get(slot.name, ())):
                if isinstance(value.typed, Amount) and value.typed.min == value.typed.max:
                    return value.typed.max
    return None


def _readable(value: SlotValue) -> str:
    typed = value.typed
    if isinstance(typed, Amount):
        currency = len(typed.unit) == 3 and typed.unit.isupper()
        shown = [money(end, typed.unit) if currency else f"{end:,.15g}" for end in (typed.min, typed.max)]
        figure = shown[0] if typed.min == typed.max else f"{shown[0]} to {shown[1]}"
        unit = "" if currency else "%" if typed.unit == "%" else f" {typed.unit}" if typed.unit else ""
        per = "".join(f" per {part}" for part in typed.per.split("/") if part)
        return f"{figure}{unit}{per}"
    if isinstance(typed, Period) and value.quote:
        # In the buyer's words, but as a noun: "in March" is "March".
        return re.sub(r"^(?:in|on|by|at|from|within|until|till|before|after|since)\s+", "", value.quote)
    return value.text.replace("_", " ")


def _totals(domain: Domain, product: Product, slots: Slots) -> dict[str, str]:
    count = quantity(domain, slots)
    if count is None or count < 2 or count != int(count):
        return {}
    pieces = f"{int(count):,} {product.counted[1]}"
    monthly = " per month" if "month" in product.per else ""
    totals = {"pieces": pieces, "total": money(count * product.price, product.currency) + monthly}
    if product.price_yearly:
        totals["yearly_total"] = money(count * product.price_yearly * 12, product.currency) + " a year"
    return totals


def _other_options(catalog: Catalog, product: Product) -> dict[str, str]:
    def priced(other: Product) -> str:
        per = f" per {other.per}" if other.per else ""
        return f"{other.name} at {money(other.price, other.currency)}{per}"

    comparable = [other for other in catalog.products if other.category == product.category]
    cheaper = [other for other in comparable if other.price < product.price]
    found = {"option": priced(product)}
    if cheaper:
        below = max(cheaper, key=lambda other: other.price)
        found |= {"cheaper": priced(below), "options": f"{priced(below)}, or {priced(product)}"}
    elif dearer := [other for other in comparable if other.price > product.price]:
        above = min(dearer, key=lambda other: other.price)
        found["options"] = f"{priced(product)}, or {priced(above)}"
    return found
