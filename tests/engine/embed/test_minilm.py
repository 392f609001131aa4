"""The built-in embedder: unit vectors that know what a message means, from weights that are checked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import platformdirs
import pytest
from safetensors.numpy import load, save_file

from engine.embed import minilm
from engine.embed.graph import build
from engine.embed.minilm import EmbedderUnavailable, MiniLM

SENTENCES = ("That is too expensive.", "Does it work with Shopify?", "We ship 300 parcels a day, ok?", "hm")


@pytest.fixture(scope="module")
def embedder() -> MiniLM:
    return MiniLM(platformdirs.user_cache_path("repartee"))


@pytest.mark.parametrize("text", [*SENTENCES, "", " ", "💸 naïve ﬁ\0", "word " * 5000])
def test_any_text_has_a_vector_of_length_one(embedder: MiniLM, text: str) -> None:
    vector = embedder.encode(text)
    assert vector.shape == (MiniLM.dimensions,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_what_means_the_same_is_closer_than_what_shares_words(embedder: MiniLM) -> None:
    asked, same, other = (
        embedder.encode(text) for text in ("How much is it?", "What does this cost?", "How much do you like it here?")
    )
    assert asked @ same > asked @ other + 0.2


def test_the_same_text_has_the_same_vector_on_the_loop_and_off_it(embedder: MiniLM) -> None:
    assert np.array_equal(asyncio.run(embedder.embed(SENTENCES[1])), embedder.encode(SENTENCES[1]))


def test_only_the_first_tokens_of_a_long_text_count(embedder: MiniLM) -> None:
    long = "price " * (2 * minilm.TOKENS_MAX)
    assert np.array_equal(embedder.encode(long), embedder.encode(long + "and now something completely different"))


def test_eight_bits_lose_little_of_what_the_weights_say(embedder: MiniLM, tmp_path: Path) -> None:
    weights = load((minilm._package_files() / "model.safetensors").read_bytes())
    onnx.save(build(weights), tmp_path / "plain.onnx")
    plain = ort.InferenceSession(str(tmp_path / "plain.onnx"), providers=["CPUExecutionProvider"])
    for text in SENTENCES:
        ids = np.array([embedder._tokenizer.encode(text).ids], np.int64)
        (exact,) = plain.run(["embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        assert exact[0] @ embedder.encode(text) > 0.97


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"anything": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(EmbedderUnavailable, match="SHA-256"):
        minilm._build(tmp_path / "model.safetensors", tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()
