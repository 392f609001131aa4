"""Packs on disk: what is read from where, and that every kind of broken file is named, with the key."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from engine import packs
from engine.errors import PackError

GOOD = {
    "pack.toml": """
        id = "tiny"
        title = "Tiny"
        default_catalog = "shop"
        [voice]
        tone = "plain"
        unknown = ["No idea.", "I do not know."]
        unverified = "Unsure."
        cut_short = "More soon."
        [lexicons.brands]
        Trek = ["trek bikes"]
        """,
    "situations.toml": """
        [[situation]]
        id = "opening"
        stage = "any"
        definition = "Says hello."
        plays = ["ask"]
        fallback = true
        """,
    "slots.toml": """
        [[slot]]
        name = "pain"
        type = "text"
        description = "What hurts."
        [[slot.cue]]
        pattern = 'tired of {clause}'
        """,
    "plays.toml": """
        [[play]]
        id = "ask"
        source = "SPIN"
        principle = "Ask."
        strategy = "Ask."
        lines = ["What do you need?"]
        """,
    "catalogs/shop.toml": """
        id = "shop"
        vendor = "Shop"
        default_product = "bike"
        facts = {}
        [[products]]
        id = "bike"
        name = "Bike"
        summary = "a bike"
        price = 5
        currency = "USD"
        """,
    "examples/opening.toml": 'messages = ["hello", "hi"]',
}


def write(path: Path, **changes: str) -> Path:
    for name, text in {**GOOD, **{key.replace("__", "/"): value for key, value in changes.items()}}.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def with_file(path: Path, name: str, text: str) -> Path:
    write(path)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text(text)
    return path


def fault(path: Path) -> str:
    with pytest.raises(PackError) as caught:
        packs.load(path)
    return caught.value.message.replace(f"{path}/", "")


def test_a_pack_is_read_from_its_files(tmp_path: Path) -> None:
    pack = packs.load(write(tmp_path))
    assert (pack.id, pack.home.vendor, pack.fallback.id) == ("tiny", "Shop", "opening")
    assert pack.slots[0].cues[0].pattern == "tired of {clause}"
    assert [(example.message, example.situation) for example in pack.examples] == [
        ("hello", "opening"),
        ("hi", "opening"),
    ]
    assert pack.lexicons == {"brands": {"Trek": ("trek bikes",)}}


def test_a_pack_may_do_without_examples_and_without_slots(tmp_path: Path) -> None:
    write(tmp_path)
    shutil.rmtree(tmp_path / "examples")
    (tmp_path / "slots.toml").write_text("")
    pack = packs.load(tmp_path)
    assert (pack.examples, pack.slots) == ((), ())


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_version_changes_with_every_file_and_only_with_them(tmp_path: Path, name: str) -> None:
    version = packs.load(write(tmp_path / "one")).version
    assert re.fullmatch(r"[0-9a-f]{64}", version)
    assert packs.load(write(tmp_path / "two")).version == version
    (tmp_path / "two" / "golden.toml").write_text("[[case]]\n")
    assert packs.load(tmp_path / "two").version == version
    other = with_file(tmp_path / "two", name, f"{GOOD[name]}\n# a comment")
    assert packs.load(other).version != version


@pytest.mark.parametrize("name", ["situations.toml", "slots.toml", "plays.toml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    assert fault(tmp_path) == f"{name}: the file is missing"


def test_a_directory_without_a_pack_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path) == f"{tmp_path}: no domain pack here (pack.toml is missing)"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "plays.toml").unlink()
    (tmp_path / "plays.toml").mkdir()
    assert fault(tmp_path).startswith("plays.toml: cannot be read: ")


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize(("text", "says"), [("x = = 1", "line 1"), ('x = "a\nb"', "line 1"), ("[a\n", "line 1")])
def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    found = fault(with_file(tmp_path, name, text))
    assert found.startswith(f"{name}: ")
    assert says in found


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_no_utf_8_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).write_bytes(b'x = "\xff"')
    assert fault(tmp_path).startswith(f"{name}: 'utf-8' codec can't decode")


def replaced(name: str, old: str, new: str) -> tuple[str, str]:
    assert old in GOOD[name]
    return name, GOOD[name].replace(old, new)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (replaced("pack.toml", 'title = "Tiny"', ""), "pack.toml: title: Field required"),
        (replaced("pack.toml", "title", "titel"), "pack.toml: title: Field required\npack.toml: titel: Extra inputs"),
        (replaced("pack.toml", 'id = "tiny"', "id = 5"), "pack.toml: id: Input should be a valid string"),
        (replaced("pack.toml", '"plain"', "[]"), "pack.toml: voice.tone: Input should be"),
        (replaced("pack.toml", '"No idea.", ', ""), "pack.toml: voice.unknown: Tuple should have at least 2"),
        (replaced("pack.toml", '"Unsure."', '"Un{sure"'), "pack.toml: voice.unverified: Value error, stray '{' at 2"),
        (replaced("pack.toml", '"shop"', '"ghost"'), "pack.toml: default_catalog: Value error, there is no catalog gh"),
        (replaced("pack.toml", "brands", "Brands"), "pack.toml: lexicons.Brands"),
        (
            replaced("pack.toml", 'id = "tiny"', "situations = []"),
            "pack.toml: situations: does not belong here, but in",
        ),
        (replaced("pack.toml", 'id = "tiny"', 'version = "2"'), "pack.toml: version: does not belong here: it is comp"),
        (
            replaced("situations.toml", "fallback = true", ""),
            "situations.toml: situations: Value error, exactly one must have fallback = true",
        ),
        (replaced("situations.toml", '["ask"]', "[]"), "situations.toml: situations[opening].plays: Tuple should"),
        (replaced("situations.toml", '"Says hello."', "5"), "situations.toml: situations[opening].definition: Input"),
        (replaced("situations.toml", 'id = "opening"', ""), "situations.toml: situations[0].id: Field required"),
        (
            replaced("situations.toml", "[[situation]]", "[situation]"),
            "situations.toml: situation: is to be written as",
        ),
        (
            replaced("situations.toml", "[[situation]]", "[[situations]]"),
            "situations.toml: situations: there is no such",
        ),
        (replaced("slots.toml", "'tired of {clause}'", "'(tired'"), "slots.toml: slots[pain].cues[0].pattern: Value"),
        (replaced("slots.toml", '"text"', '"words"'), "slots.toml: slots[pain].type: Input should be 'text'"),
        (replaced("slots.toml", "[[slot.cue]]", "[[slot.hint]]"), "slots.toml: slots[pain].hint: Extra inputs"),
        (("slots.toml", 'slot = ["pain"]'), "slots.toml: slot: is to be written as [[slot]]"),
        (("slots.toml", "slot = 5"), "slots.toml: slot: is to be written as [[slot]]"),
        (replaced("plays.toml", '["What do you need?"]', '["[What"]'), "plays.toml: plays[ask].lines[0]: Value error"),
        (replaced("plays.toml", 'source = "SPIN"', ""), "plays.toml: plays[ask].source: Field required"),
        (
            replaced("catalogs/shop.toml", "price = 5", "price = -5"),
            "catalogs/shop.toml: catalogs[shop].products[bike]",
        ),
        (replaced("catalogs/shop.toml", '"USD"', '"dollars"'), "catalogs/shop.toml: catalogs[shop].products[bike].cu"),
        (
            replaced("catalogs/shop.toml", '"bike"\n        facts', '"car"\n        facts'),
            "catalogs/shop.toml: catalogs[shop]: V",
        ),
        (replaced("catalogs/shop.toml", "facts = {}", ""), "catalogs/shop.toml: catalogs[shop].facts: Field required"),
        (replaced("examples/opening.toml", '"hi"', '""'), "examples/opening.toml: examples[1].message: String should"),
        (replaced("examples/opening.toml", '"hi"', "5"), "examples/opening.toml: examples[1].message: Input should"),
        (("examples/opening.toml", 'messages = "hello"'), "examples/opening.toml: messages: is to be written as"),
        (("examples/opening.toml", 'message = ["hello"]'), "examples/opening.toml: message: there is no such key"),
        (("examples/Not an id.toml", 'messages = ["x"]'), "examples/Not an id.toml: examples[0].situation: String"),
    ],
)
def test_every_kind_of_broken_pack_is_named_by_file_and_key(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    assert fault(with_file(tmp_path, *change)).startswith(expected)


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    write(tmp_path, **dict([replaced("plays.toml", 'source = "SPIN"', "source = 5")]))
    with_name = GOOD["situations.toml"].replace('["ask"]', "[]")
    (tmp_path / "situations.toml").write_text(with_name)
    lines = fault(tmp_path).splitlines()
    assert [line.split(":")[0] for line in lines] == ["situations.toml", "plays.toml"]


def test_a_pack_without_catalogs_says_where_they_belong(tmp_path: Path) -> None:
    shutil.rmtree(write(tmp_path) / "catalogs")
    assert fault(tmp_path).startswith("catalogs: catalogs: Tuple should have at least 1 item")


def test_the_second_catalog_is_named_where_it_is_the_broken_one(tmp_path: Path) -> None:
    broken = GOOD["catalogs/shop.toml"].replace('"USD"', "5")
    assert fault(with_file(tmp_path, "catalogs/tools.toml", broken)).startswith("catalogs/tools.toml: catalogs[shop]")


def test_packs_are_found_by_directory_and_ones_own_come_first(tmp_path: Path) -> None:
    assert {"sales", "support"} <= set(packs.available())
    write(tmp_path / "tiny")
    write(tmp_path / "sales")
    (tmp_path / "empty").mkdir()
    found = packs.available(tmp_path)
    assert found["tiny"] == tmp_path / "tiny"
    assert found["sales"] == tmp_path / "sales"
    assert found["support"] == packs.BUILT_IN / "support"
    assert "empty" not in found
    assert packs.available(tmp_path / "nowhere") == packs.available()
