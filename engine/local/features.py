"""The words of a message as a sparse vector: hashed n-grams, weighted by how rare they are.

They stand beside the embedding, which knows what a message is about better than how it is
put: "would you take" and "how much" are near to each other there and far apart here.
Numpy only: this runs on every message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

# A power of two; at 13,000 messages a bucket is shared by about two n-grams.
BUCKETS = 1 << 17
# As much as the embedder reads, roughly; it bounds the time that a long message takes.
CHARS_MAX = 512
_TOKEN = re.compile(r"\w+|[?!$€£%]")
_CHARS = range(2, 6)


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse vector of BUCKETS dimensions."""

    # Each bucket at most once, ascending in each of the two families, and its value.
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]


def rarity(messages: Sequence[str]) -> NDArray[np.float32]:
    """The inverse document frequency of every bucket, (BUCKETS,)."""
    seen = np.zeros(BUCKETS, np.int64)
    for message in messages:
        for grams in families(message):
            seen[np.unique(_hashed(grams))] += 1
    return (np.log((1 + len(messages)) / (1 + seen)) + 1).astype(np.float32)


def sparse(message: str, idf: NDArray[np.float32]) -> Sparse:
    """The message's n-grams; its words and its characters are two parts of unit length each."""
    parts = [_weighted(grams, idf) for grams in families(message)]
    return Sparse(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def families(message: str) -> tuple[list[str], list[str]]:
    """N-grams of one or two words, and of two to five characters within a word."""
    tokens = _TOKEN.findall(message[:CHARS_MAX].casefold())
    words = [*(f"w{token}" for token in tokens), *(f"w{one} {two}" for one, two in zip(tokens, tokens[1:], strict=False))]
    # Padded, so that the start and the end of a word are part of what is counted.
    padded = [f" {token} " for token in tokens]
    chars = [token[at : at + size] for token in padded for size in _CHARS for at in range(len(token) - size + 1)]
    return words, chars


def _hashed(grams: Iterable[str]) -> NDArray[np.int64]:
    # Not hash(): that one is seeded anew in every process.
    return np.array([crc32(gram.encode()) % BUCKETS for gram in grams], np.int64)


def _weighted(grams: list[str], idf: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    buckets, counts = np.unique(_hashed(grams), return_counts=True)
    values = (1 + np.log(counts)) * idf[buckets]
    length = float(np.sqrt(values @ values)) or 1.0
    return buckets, (values / length).astype(np.float32)
