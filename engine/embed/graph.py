"""The ONNX graph of all-MiniLM-L6-v2, made from its weights with numpy and onnx only.

The weights come as safetensors; exporting a graph from them would take PyTorch. A BERT
encoder is six times the same block, so it is written down here, with two fused operators
of onnxruntime (com.microsoft: Attention, BiasGelu). The output is the mean of the token
vectors, scaled to length 1, as sentence-transformers computes it.
Architecture: Devlin et al. 2018 (BERT), Wang et al. 2020 (MiniLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, DIMENSIONS = 6, 12, 384
_EPSILON = 1e-12
_FUSED = "com.microsoft"

Weights = Mapping[str, NDArray[np.float32]]


class _Graph:
    """Collects nodes and constants; every method answers with the name of what it added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401  (as ONNX has them)
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes))
        return name


def build(weights: Weights) -> onnx.ModelProto:
    """The whole model in float32: input_ids and attention_mask (int64, batch × tokens) → embedding."""
    graph = _Graph()
    hidden = _embeddings(graph, weights)
    mask = graph.op("Cast", "attention_mask", to=TensorProto.INT32)
    for layer in range(LAYERS):
        hidden = _block(graph, weights, f"encoder.layer.{layer}.", hidden, mask)
    output = _mean_pool(graph, hidden)
    graph.nodes.append(helper.make_node("Identity", [output], ["embedding"]))
    tokens = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMENSIONS])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "minilm", tokens, [embedding], graph.constants),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(_FUSED, 1)],
        ir_version=9,
    )
    # What onnxruntime's shape inference would leave behind; there is nothing here for it to infer.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return model


def _embeddings(graph: _Graph, weights: Weights) -> str:
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    # There is one token type only, so its vector is folded into the positions'.
    positions = graph.constant(
        "positions",
        weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
    )
    zero = graph.constant("zero", np.array([0], np.int64))
    length = graph.op("Shape", "input_ids", start=1, end=2)
    summed = graph.op("Add", graph.op("Gather", words, "input_ids"), graph.op("Slice", positions, zero, length, zero))
    scale, bias = _norm(graph, weights, "embeddings.LayerNorm")
    return graph.op("LayerNormalization", summed, scale, bias, axis=-1, epsilon=_EPSILON)


def _block(graph: _Graph, weights: Weights, prefix: str, hidden: str, mask: str) -> str:
    heads = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
    attention = graph.op(
        "Attention",
        hidden,
        graph.constant(f"{prefix}qkv.weight", np.concatenate([weights[f"{head}.weight"].T for head in heads], 1)),
        graph.constant(f"{prefix}qkv.bias", np.concatenate([weights[f"{head}.bias"] for head in heads])),
        mask,
        domain=_FUSED,
        num_heads=HEADS,
    )
    hidden = _project(graph, weights, f"{prefix}attention.output", attention, residual=hidden)
    inner = f"{prefix}intermediate.dense"
    widened = graph.op("MatMul", hidden, graph.constant(f"{inner}.weight", weights[f"{inner}.weight"].T))
    bias = graph.constant(f"{inner}.bias", weights[f"{inner}.bias"])
    activated = graph.op("BiasGelu", widened, bias, domain=_FUSED)
    return _project(graph, weights, f"{prefix}output", activated, residual=hidden)


def _project(graph: _Graph, weights: Weights, prefix: str, hidden: str, *, residual: str) -> str:
    """A dense layer, the residual and a norm: in three operators, for the fused one is slower; see `minilm`."""
    weight = graph.constant(f"{prefix}.dense.weight", weights[f"{prefix}.dense.weight"].T)
    bias = graph.constant(f"{prefix}.dense.bias", weights[f"{prefix}.dense.bias"])
    projected = graph.op("Add", graph.op("MatMul", hidden, weight), bias)
    scale, shift = _norm(graph, weights, f"{prefix}.LayerNorm")
    return graph.op("LayerNormalization", graph.op("Add", projected, residual), scale, shift, axis=-1, epsilon=_EPSILON)


def _norm(graph: _Graph, weights: Weights, prefix: str) -> tuple[str, str]:
    scale = graph.constant(f"{prefix}.weight", weights[f"{prefix}.weight"])
    return scale, graph.constant(f"{prefix}.bias", weights[f"{prefix}.bias"])


def _mean_pool(graph: _Graph, hidden: str) -> str:
    last = graph.constant("last_axis", np.array([-1], np.int64))
    tokens = graph.constant("token_axis", np.array([1], np.int64))
    mask = graph.op("Unsqueeze", graph.op("Cast", "attention_mask", to=TensorProto.FLOAT), last)
    # The divisor of the mean cancels out when the sum is scaled to length 1.
    summed = graph.op("ReduceSum", graph.op("Mul", hidden, mask), tokens, keepdims=0)
    return graph.op("Div", summed, graph.op("ReduceL2", summed, last, keepdims=1))
