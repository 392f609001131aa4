"""Time of one embedding as a turn has it, int8 beside the float32 graph that it was made from.

.venv/bin/python -m benchmarks.embedder
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import platformdirs
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load

from engine.embed import minilm
from engine.embed.graph import build
from engine.embed.minilm import MiniLM

_TOKENS = (6, 15, 27, 60, 128)
_ROUNDS = 200


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def main() -> None:
    quick = MiniLM(platformdirs.user_cache_path("repartee"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "plain.onnx")
        onnx.save(build(load((minilm._package_files() / "model.safetensors").read_bytes())), path)
        plain = session(path)
    table = Table("tokens", "int8 ms", "float32 ms", "ratio")
    for tokens in _TOKENS:
        # A token each; one more at the start, and one at the end.
        text = " ".join(["price"] * (tokens - 2))
        ids = np.array([quick._tokenizer.encode(text).ids], np.int64)
        assert ids.shape == (1, tokens)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        ours, theirs = median_ms(partial(quick.encode, text)), median_ms(partial(plain.run, ["embedding"], feeds))
        table.add_row(str(tokens), f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
