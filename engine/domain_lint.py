"""Proves a domain pack sound: that all of it fits together, not only that each part is well-formed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from engine.domain import SPANS, Domain, Play, SlotType
from engine.facts import values
from engine.template import parse

EXAMPLES_MIN = 20
LINES_MIN = 3
# Names that a line may use besides the slots and the catalog's facts: see `engine.facts.values`.
_COMPUTED = frozenset("vendor product summary price pieces total yearly_total option options cheaper answer".split())


def faults(domain: Domain) -> list[str]:
    """Everything that is wrong with a pack, a line each; empty for a sound one."""
    checks: tuple[Callable[[Domain], Iterator[str]], ...] = (
        _duplicates,
        _dangling,
        _reachable,
        _plays,
        _slots,
        _catalogs,
        _examples,
    )
    return [fault for check in checks for fault in check(domain)]


def summary(domain: Domain) -> str:
    """What a pack holds, in a line."""
    lines = sum(len(play.lines) for play in domain.plays)
    return (
        f"{len(domain.situations)} situations, {len(domain.slots)} slots, {len(domain.plays)} plays with {lines} lines, "
        f"{len(domain.catalogs)} catalogs, {len(domain.examples)} examples"
    )


def _duplicates(domain: Domain) -> Iterator[str]:
    groups = {
        "situation": [situation.id for situation in domain.situations],
        "slot": [slot.name for slot in domain.slots],
        "play": [play.id for play in domain.plays],
        "catalog": [catalog.id for catalog in domain.catalogs],
        "policy": [policy.id for policy in domain.policies],
        "product": [product.id for catalog in domain.catalogs for product in catalog.products],
    }
    for kind, ids in groups.items():
        for repeated, count in Counter(ids).items():
            if count > 1:
                yield f"{kind} {repeated}: defined {count} times"


def _dangling(domain: Domain) -> Iterator[str]:
    slots, plays, situations = set(domain.slots_by_name), set(domain.plays_by_id), set(domain.situations_by_id)
    for situation in domain.situations:
        for slot in set(situation.expected_slots) - slots:
            yield f"situation {situation.id}: expects slot {slot}, which does not exist"
        for play_id in set(situation.plays) - plays:
            yield f"situation {situation.id}: names play {play_id}, which does not exist"
        for neighbour in set(situation.neighbours) - situations:
            yield f"situation {situation.id}: names neighbour {neighbour}, which does not exist"
        for neighbour in set(situation.neighbours) & situations:
            if situation.id not in domain.situations_by_id[neighbour].neighbours:
                yield f"situation {situation.id}: {neighbour} is its neighbour, but not the other way round"
    for play in domain.plays:
        for slot in set(play.requires) - slots:
            yield f"play {play.id}: requires slot {slot}, which does not exist"
        for forbidden in set(play.forbidden_when) - situations:
            yield f"play {play.id}: is forbidden in situation {forbidden}, which does not exist"


def _reachable(domain: Domain) -> Iterator[str]:
    used = {play for situation in domain.situations for play in situation.plays}
    for play in domain.plays:
        if play.id not in used:
            yield f"play {play.id}: no situation uses it"
    taught = {example.situation for example in domain.examples}
    for situation in domain.situations:
        if situation.id not in taught:
            yield f"situation {situation.id}: cannot be reached: it has no examples"
        own = [domain.plays_by_id[play] for play in situation.plays if play in domain.plays_by_id]
        for play in own:
            if situation.id in play.forbidden_when:
                yield f"situation {situation.id}: names play {play.id}, which is forbidden in it"
        if not any(_always_works(domain, play) and situation.id not in play.forbidden_when for play in own):
            yield f"situation {situation.id}: no play of it works with nothing known"


def _always_works(domain: Domain, play: Play) -> bool:
    """Whether some line of the play can be said knowing nothing, whatever the catalog."""
    return not play.requires and all(
        any(parse(line).required <= {*values(domain, catalog, {}), "answer"} for line in play.lines)
        for catalog in domain.catalogs
    )


def _plays(domain: Domain) -> Iterator[str]:
    for play in domain.plays:
        known = {*_COMPUTED, *domain.slots_by_name}
        for catalog in domain.catalogs:
            for line in play.lines:
                for name in sorted(parse(line).names - known - set(catalog.facts)):
                    yield f"play {play.id}: uses {{{name}}}, which catalog {catalog.id} does not define"
        if len(play.lines) < LINES_MIN:
            yield f"play {play.id}: has {len(play.lines)} lines; at least {LINES_MIN} are needed"
        for line, count in Counter(play.lines).items():
            if count > 1:
                yield f"play {play.id}: says {line[:40]!r} {count} times"
        if play.needs_grounded_fact and not any(_is_grounded(domain, line) for line in play.lines):
            yield f"play {play.id}: needs a grounded fact, but no line of it uses one"


def _is_grounded(domain: Domain, line: str) -> bool:
    return bool(parse(line).names - set(domain.slots_by_name))


def _slots(domain: Domain) -> Iterator[str]:
    kinds = {*SPANS, "clause", "name", *domain.lexicons}
    for slot in domain.slots:
        if not slot.cues:
            yield f"slot {slot.name}: has no cues, so the built-in engine never finds it"
        if slot.type is SlotType.ENUM and any(not cue.value and not cue.retract for cue in slot.cues):
            yield f"slot {slot.name}: an enum needs a value on every cue"
        for cue in slot.cues:
            for name in sorted(cue.placeholders - kinds):
                yield f"slot {slot.name}: cue {cue.pattern[:40]!r} uses {{{name}}}, which nothing recognises"


def _catalogs(domain: Domain) -> Iterator[str]:
    for catalog in domain.catalogs:
        known = {*_COMPUTED, *domain.slots_by_name, *catalog.facts}
        texts = {f"fact {name}": text for name, text in catalog.facts.items()}
        texts |= {f"answer {answer.id}": answer.text for answer in catalog.answers}
        for where, text in texts.items():
            for name in sorted(parse(text).names - known):
                yield f"catalog {catalog.id}: {where} uses {{{name}}}, which nothing defines"
        for answer, count in Counter(answer.id for answer in catalog.answers).items():
            if count > 1:
                yield f"catalog {catalog.id}: answer {answer} is defined {count} times"


def _examples(domain: Domain) -> Iterator[str]:
    counts = Counter(example.situation for example in domain.examples)
    for situation, count in counts.items():
        if situation not in domain.situations_by_id:
            yield f"examples {situation}: there is no such situation"
        elif count < EXAMPLES_MIN:
            yield f"examples {situation}: {count} are too few to learn from; at least {EXAMPLES_MIN}"
    messages = Counter(example.message.casefold() for example in domain.examples)
    for message, count in messages.items():
        if count > 1:
            where = sorted({example.situation for example in domain.examples if example.message.casefold() == message})
            yield f"examples {', '.join(where)}: {message[:40]!r} stands there {count} times"
