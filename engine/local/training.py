"""Trains the detector from a pack's examples, and keeps what it learned on disk.

Kernel ridge regression: the votes V of the N examples for the S situations solve
(K + RIDGE * I) V = Y, where K is how alike any two examples are and Y which situation
each is of. K is positive definite, so conjugate gradients get there in some tens of
products with K: seconds for a pack of 13,000 examples, and nothing is left to chance.
The scores are no probabilities; a temperature makes them so, fitted on each half of the
examples by a model that has seen the other half only.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain import Domain
from engine.local.detect import Detector, Model, closeness, softmax
from engine.local.features import BUCKETS, rarity, words
from engine.ports import Embedder
from engine.stages import Vector

Encode = Callable[[str], Vector]

# Part of the cache key: to be changed with anything that changes the trained model.
RECIPE = "kernel-2"
# Memory and time of training grow with the square of the examples: 1 GB at this many. A
# larger pack is thinned evenly.
EXAMPLES_MAX = 16_000
# Chosen across the two authors of the sales pack: see benchmarks/detector.py.
RIDGE = 0.3
WORDS_SHARE = 0.6
# Of the embedding's dimensions; a third less costs nothing and halves the time of a detection.
DIMENSIONS_KEPT = 256
_ITERATIONS_MAX = 40
_TOLERANCE = 1e-2
_ROWS = 512
_TEMPERATURES = np.geomspace(0.01, 1.0, 60)
_PARTS = ("projection", "examples", "votes", "idf", "word_votes")


def fit(domain: Domain, encode: Encode) -> Model:
    """Trains on the pack's examples; the same pack and encoder give the same model."""
    examples = domain.examples[:: max(1, -(-len(domain.examples) // EXAMPLES_MAX))]
    vectors = np.stack([encode(example.message) for example in examples])
    messages = [example.message for example in examples]
    return fit_vectors(messages, vectors, [example.situation for example in examples], domain.fallback.id)


def fit_vectors(messages: Sequence[str], vectors: NDArray[np.float32], labels: Sequence[str], fallback: str) -> Model:
    """Trains on N messages whose embeddings, (N, D), are known already."""
    situations = tuple(sorted(set(labels)))
    truth = np.array([situations.index(label) for label in labels])
    idf = rarity(messages)
    bag = _bag(messages, idf)
    projection = _projection(vectors)
    vectors = vectors @ projection
    likeness = _likeness(vectors)
    temperature, threshold = _calibrate(likeness, bag, truth, situations, fallback)
    votes = _votes(likeness, bag, truth, len(situations)) / np.float32(temperature)
    return Model(situations, projection, vectors, votes, idf, _word_votes(bag, votes), threshold)


def load_or_train(domain: Domain, embedder: Embedder, cache_dir: Path) -> Detector:
    """The detector of a pack: from the cache directory, or trained and put there the first time."""
    path = cache_dir / f"detector-{domain.id}-{_key(domain, embedder.id)}.npz"
    model = _read(path)
    if model is None:
        model = fit(domain, embedder.encode)
        _write(path, model)
    return Detector(model, domain)


def _key(domain: Domain, embedder_id: str) -> str:
    """Changes with all that the model is made of, and with nothing else: a new price trains nothing anew."""
    digest = hashlib.sha256(f"{RECIPE}\n{embedder_id}\n{domain.fallback.id}\n".encode())
    for example in domain.examples:
        digest.update(f"{example.situation}\0{example.message}\0".encode())
    return digest.hexdigest()[:16]


# -- fitting


def _projection(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Onto the principal directions of the embeddings, (D, K); not centred, so that cosines stay what they are."""
    _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    return np.ascontiguousarray(directions[:, ::-1][:, :DIMENSIONS_KEPT], np.float32)


def _likeness(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """How alike any two embeddings are, (N, N); row by row, as it is the largest thing here."""
    likeness = np.empty((len(vectors), len(vectors)), np.float32)
    for start in range(0, len(vectors), _ROWS):
        likeness[start : start + _ROWS] = closeness(vectors[start : start + _ROWS] @ vectors.T)
    return likeness


def _bag(messages: Sequence[str], idf: NDArray[np.float32]) -> Any:  # noqa: ANN401  (scipy has no types)
    """The words of the messages as a sparse matrix (N, BUCKETS)."""
    # Imported here: serving from the cache must not pay for it.
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # noqa: PLC0415

    said = [words(message, idf) for message in messages]
    ends = np.cumsum([0, *(len(one.buckets) for one in said)])
    buckets = np.concatenate([one.buckets for one in said])
    values = np.concatenate([one.values for one in said]) * np.float32(np.sqrt(WORDS_SHARE))
    return csr_matrix((values, buckets, ends), shape=(len(said), BUCKETS))


def _votes(likeness: NDArray[np.float32], bag: Any, truth: NDArray[np.int64], classes: int) -> NDArray[np.float32]:  # noqa: ANN401
    """Solves for the votes, (N, S), by conjugate gradients, every situation on its own."""
    goal = np.eye(classes, dtype=np.float32)[truth] - np.float32(1 / classes)
    votes = np.zeros_like(goal)
    residual, direction = goal.copy(), goal.copy()
    error = (residual * residual).sum(0)
    enough = np.float32(_TOLERANCE**2) * error
    for _ in range(_ITERATIONS_MAX):
        image = likeness @ direction + bag @ (bag.T @ direction) + np.float32(RIDGE) * direction
        step = error / np.maximum((direction * image).sum(0), np.float32(1e-30))
        votes += step * direction
        residual -= step * image
        before, error = error, (residual * residual).sum(0)
        if (error <= enough).all():
            break
        direction = residual + error / np.maximum(before, np.float32(1e-30)) * direction
    return votes


def _word_votes(bag: Any, votes: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ANN401
    """The votes that words carry, (BUCKETS, S): linear, so the examples fold away."""
    folded: NDArray[np.float32] = (bag.T @ votes) * np.float32(np.sqrt(WORDS_SHARE))
    return folded


# -- calibration


def _calibrate(
    likeness: NDArray[np.float32],
    bag: Any,  # noqa: ANN401
    truth: NDArray[np.int64],
    situations: Sequence[str],
    fallback: str,
) -> tuple[float, float]:
    """The temperature, and the probability under which to abstain.

    Examples come in by situation, so every other one is a fair half of each. A model of half
    the examples is less sure than the real one should be: that errs on the side of doubt,
    where a stranger's way of writing errs on the other. Across the authors of the sales pack
    the two nearly cancel out.
    """
    parts = np.arange(len(truth)) % 2
    scores = np.empty((len(truth), len(situations)))
    for half in (0, 1):
        seen, unseen = np.flatnonzero(parts == half), np.flatnonzero(parts != half)
        votes = _votes(likeness[np.ix_(seen, seen)], bag[seen], truth[seen], len(situations))
        scores[unseen] = likeness[np.ix_(unseen, seen)] @ votes + bag[unseen] @ (bag[seen].T @ votes)
    temperature = min(_TEMPERATURES, key=lambda value: _loss(scores / value, truth))
    return float(temperature), _threshold(softmax(scores / temperature), truth, situations.index(fallback))


def _loss(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The mean negative log likelihood, in nats."""
    return float(-np.log(np.maximum(softmax(logits)[np.arange(len(truth)), truth], 1e-12)).mean())


def _threshold(shares: NDArray[np.float64], truth: NDArray[np.int64], fallback: int) -> float:
    """Where saying the fallback instead gains the most right answers; 0 where it gains none."""
    order = np.argsort(shares.max(axis=1))
    gains = (truth == fallback).astype(int) - (shares.argmax(axis=1) == truth).astype(int)
    gained = np.cumsum(gains[order])
    best = int(gained.argmax())
    return float(shares.max(axis=1)[order[best]]) if gained[best] > 0 else 0.0


# -- on disk


def _read(path: Path) -> Model | None:
    """The model, or None where the file is missing or damaged."""
    try:
        # Opened here: of a damaged file, numpy would leave the handle open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            situations = tuple(str(name) for name in file["situations"])
            projection, examples, votes, idf, word_votes = (file[part] for part in _PARTS)
            return Model(situations, projection, examples, votes, idf, word_votes, float(file["threshold"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, model: Model) -> None:
    """In one step, so that two processes that start together never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {part: getattr(model, part) for part in _PARTS}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        file = Path(scratch, "model.npz")
        np.savez(file, situations=np.array(model.situations), threshold=np.array(model.threshold), **parts)
        file.replace(path)
