"""Trains the detector from a pack's examples, and keeps what it learned on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.domain import Domain
from engine.local.detect import Detector, Model
from engine.ports import Embedder
from engine.stages import Vector

Encode = Callable[[str], Vector]

# Part of the cache key: to be changed with anything that changes the trained model.
RECIPE = "linear-1"
# The inverse strength of the L2 penalty, chosen across authors: see benchmarks/detector.py.
_C = 3.0


def fit(domain: Domain, encode: Encode) -> Model:
    """Trains on all of the pack's examples; the same pack and encoder give the same bytes."""
    # Imported here: serving from the cache must not pay for it.
    from sklearn.linear_model import LogisticRegression

    vectors = np.stack([encode(example.message) for example in domain.examples])
    labels = np.array([example.situation for example in domain.examples])
    classifier = LogisticRegression(C=_C, max_iter=1000).fit(vectors, labels)
    return Model(
        tuple(str(name) for name in classifier.classes_),
        classifier.coef_.astype(np.float32),
        classifier.intercept_.astype(np.float32),
        threshold=0.0,
    )


def load_or_train(domain: Domain, embedder: Embedder, cache_dir: Path) -> Detector:
    """The detector of a pack: from the cache directory, or trained and put there the first time."""
    key = hashlib.sha256(f"{domain.version}\n{embedder.id}\n{RECIPE}".encode()).hexdigest()
    path = cache_dir / f"detector-{domain.id}-{key[:16]}.npz"
    model = _read(path)
    if model is None:
        model = fit(domain, embedder.encode)
        _write(path, model)
    return Detector(model, domain.fallback.id)


def _read(path: Path) -> Model | None:
    """The model, or None where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            situations: NDArray[np.str_] = file["situations"]
            return Model(tuple(situations.tolist()), file["weights"], file["bias"], float(file["threshold"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, model: Model) -> None:
    """In one step, so that two processes that start together never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as scratch:
        np.savez(
            scratch,
            situations=np.array(model.situations),
            weights=model.weights,
            bias=model.bias,
            threshold=np.array(model.threshold),
        )
    os.replace(scratch.name, path)
