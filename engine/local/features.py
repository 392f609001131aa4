"""The words of a message as a sparse vector: hashed n-grams, weighted by how rare they are.

They stand beside the embedding, which knows what a message is about better than how it
is put. Measured across authors they add six points of accuracy to it.
Numpy only: this runs on every message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 16
# About as much as the embedder reads; it bounds the time that a long message takes.
CHARS_MAX = 512
_TOKEN = re.compile(r"\w+|[?!$€£%]")


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A sparse vector of BUCKETS dimensions and unit length; empty for a message without words."""

    # Ascending, each at most once; and the value in each.
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]


def rarity(messages: Iterable[str]) -> NDArray[np.float32]:
    """The smoothed inverse document frequency of every bucket, (BUCKETS,)."""
    seen = np.zeros(BUCKETS, np.int64)
    total = 0
    for message in messages:
        seen[np.unique(_hashed(message))] += 1
        total += 1
    return (np.log((1 + total) / (1 + seen)) + 1).astype(np.float32)


def words(message: str, idf: NDArray[np.float32]) -> Words:
    """The message's words and pairs of words, with the weights of `rarity`."""
    buckets, counts = np.unique(_hashed(message), return_counts=True)
    values = ((1 + np.log(counts)) * idf[buckets]).astype(np.float32)
    length = float(np.sqrt(values @ values)) or 1.0
    return Words(buckets, values / np.float32(length))


def _hashed(message: str) -> NDArray[np.int64]:
    tokens = _TOKEN.findall(message[:CHARS_MAX].casefold())
    grams = [*tokens, *(f"{one} {two}" for one, two in pairwise(tokens))]
    # Not hash(): that one is seeded anew in every process.
    return np.array([crc32(gram.encode()) % BUCKETS for gram in grams], np.int64)
