"""Training gives the same model each time; the cache gives it back, or is made anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.local import training
from engine.local.training import fit, load_or_train
from engine.stages import DetectInput
from tests.engine.local.packs import FakeEmbedder, tiny_domain


def cached(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_training_is_deterministic() -> None:
    one, two = (fit(tiny_domain(), FakeEmbedder().encode) for _ in range(2))
    for part in ("examples", "votes", "idf", "word_votes"):
        assert getattr(one, part).tobytes() == getattr(two, part).tobytes()
    assert (one.situations, one.threshold) == (two.situations, two.threshold)


def test_the_cache_gives_back_what_was_trained(tmp_path: Path) -> None:
    domain, embedder = tiny_domain(), FakeEmbedder()
    trained = load_or_train(domain, embedder, tmp_path / "new")
    asked = len(embedder.asked)
    loaded = load_or_train(domain, embedder, tmp_path / "new")
    assert len(embedder.asked) == asked == len(domain.examples)
    value = DetectInput(domain, "how much", embedder.encode("how much"), {}, "", ())
    assert loaded(value) == trained(value)
    assert len(cached(tmp_path / "new")) == 1


def test_other_examples_or_another_embedder_train_anew(tmp_path: Path) -> None:
    domain = tiny_domain()
    more = domain.model_copy(update={"examples": (*domain.examples, domain.examples[0])})
    load_or_train(domain, FakeEmbedder("a"), tmp_path)
    load_or_train(more, FakeEmbedder("a"), tmp_path)
    load_or_train(more, FakeEmbedder("b"), tmp_path)
    assert len(cached(tmp_path)) == 3


def test_a_new_version_with_the_same_examples_trains_nothing(tmp_path: Path) -> None:
    load_or_train(tiny_domain("1"), FakeEmbedder(), tmp_path)
    embedder = FakeEmbedder()
    load_or_train(tiny_domain("2"), embedder, tmp_path)
    assert embedder.asked == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", b"rubbish" * 100])
def test_a_damaged_file_is_rebuilt(tmp_path: Path, damage: bytes) -> None:
    load_or_train(tiny_domain(), FakeEmbedder(), tmp_path)
    (file,) = cached(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(damage)
    load_or_train(tiny_domain(), FakeEmbedder(), tmp_path)
    assert cached(tmp_path) == [file]
    assert len(file.read_bytes()) == len(whole)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_half_a_file_is_rebuilt(tmp_path: Path, keep: float) -> None:
    load_or_train(tiny_domain(), FakeEmbedder(), tmp_path)
    (file,) = cached(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * keep)])
    load_or_train(tiny_domain(), FakeEmbedder(), tmp_path)
    assert len(file.read_bytes()) == len(whole)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    load_or_train(tiny_domain(), FakeEmbedder(), tmp_path)
    (file,) = cached(tmp_path)
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)
    embedder = FakeEmbedder()
    load_or_train(tiny_domain(), embedder, tmp_path)
    assert embedder.asked


def test_a_large_pack_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EXAMPLES_MAX", 10)
    model = fit(tiny_domain(), FakeEmbedder().encode)
    assert len(model.examples) <= 10


def test_serving_imports_nothing_of_training() -> None:
    code = "import sys, engine.local.training as t; sys.exit(any(m in sys.modules for m in ('scipy', 'sklearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
