"""Where a model's time goes, operator by operator, and how near the core's own rate it comes."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import process_time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

WIDTH = 192
"""Pixels of the line that is profiled, the receipts' mean."""
NUM_RUNS = 40
MIN_SHARE = 0.02
"""Of the time, below which an operator is counted among the rest."""


@dataclass(frozen=True)
class Operator:
    """One node of the graph as onnxruntime runs it."""

    name: str
    kind: str
    ms: float
    """The least of all runs: other programs can only add to it."""
    gflop: float
    """Multiplications and additions; 0 where it has no matrix product."""

    @property
    def is_int8(self) -> bool:
        """Whether it computes in integers."""
        return self.kind.startswith("QLinear")


def print_operators(title: str, path: str) -> None:
    """Profile one line alone, and print the operators that take most of the time."""
    rates = {False: matmul_rate(is_int8=False), True: matmul_rate(is_int8=True)}
    operators = sorted(profile(path), key=lambda operator: -operator.ms)
    total = sum(operator.ms for operator in operators)
    print(
        f"\n{title}: {total:.2f} ms for a line of {WIDTH} pixels; matrix products of this core: "
        f"{rates[False]:.0f} GFLOP/s in float32, {rates[True]:.0f} GOP/s in int8\n\n"
        "| operator | ms | share % | GFLOP | GFLOP/s | of the core's rate % |\n" + "|---" * 6 + "|"
    )
    rest = [operator for operator in operators if operator.ms < MIN_SHARE * total]
    for operator in operators[: len(operators) - len(rest)]:
        rate = operator.gflop / operator.ms * 1e3
        print(
            f"| {operator.kind} {operator.name} | {operator.ms:.3f} "
            f"| {100 * operator.ms / total:.0f} | {operator.gflop:.4f} | {rate:.0f} "
            f"| {100 * rate / rates[operator.is_int8]:.0f} |"
        )
    rest_ms = sum(operator.ms for operator in rest)
    print(f"| {len(rest)} others | {rest_ms:.3f} | {100 * rest_ms / total:.0f} | – | – | – |")


def profile(path: str) -> list[Operator]:
    """Run a line of noise `NUM_RUNS` times under onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as folder:
        options = _one_thread()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.optimized_model_filepath = str(Path(folder) / "as_run.onnx")
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        height = session.get_inputs()[0].shape[2]
        line = np.random.default_rng(0).normal(size=(1, 1, height, WIDTH)).astype(np.float32)
        for _ in range(NUM_RUNS):
            session.run(None, {"images": line})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return list(_operators(events, _weight_shapes(options.optimized_model_filepath)))


def _weight_shapes(path: str) -> dict[str, list[list[int]]]:
    """The shapes of each node's constants, which the profile does not tell of all."""
    graph = onnx.load(path).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return {node.name: [shapes[i] for i in node.input if i in shapes] for node in graph.node}


def _operators(events: list[dict], weights: dict[str, list[list[int]]]) -> Iterator[Operator]:
    runs = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"]].append(event)
    for name, of_node in runs.items():
        details = of_node[0]["args"]
        least = min(event["dur"] for event in of_node) / 1e3
        node = name.removesuffix("_kernel_time")
        gflop = _flop(details, weights.get(node, [])) / 1e9
        yield Operator(node.strip("/"), details["op_name"], least, gflop)


def _flop(details: dict, weights: list[list[int]]) -> int:
    """Two per multiplication of a matrix product: convolution, LSTM or MatMul."""
    inputs, outputs = (
        [next(iter(entry.values())) for entry in details[f"{side}_type_shape"]]
        for side in ("input", "output")
    )
    kind = details["op_name"]
    if kind in ("Conv", "QLinearConv"):  # (C', C, H, W)
        return 2 * prod(outputs[0]) * sum(prod(w[1:]) for w in weights if len(w) == 4)
    if kind == "MatMul":
        return 2 * prod(outputs[0]) * inputs[0][-1]
    if kind == "LSTM":  # (directions, 4·hidden, C) and (directions, 4·hidden, hidden)
        steps, batch, _ = inputs[0]
        return 2 * steps * batch * sum(prod(w) for w in weights if len(w) == 3)
    return 0


def matmul_rate(is_int8: bool, size: int = 768) -> float:
    """Billions of operations a second of one square matrix product in onnxruntime, one thread."""
    kinds = (TensorProto.UINT8, TensorProto.INT8) if is_int8 else (TensorProto.FLOAT,) * 2
    result = TensorProto.INT32 if is_int8 else TensorProto.FLOAT
    weights = np.random.default_rng(0).integers(-60, 60, (size, size))
    constant = weights.astype(helper.tensor_dtype_to_np_dtype(kinds[1]))
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if is_int8 else "MatMul", ["a", "b"], ["c"])],
        "rate",
        [helper.make_tensor_value_info("a", kinds[0], (size, size))],
        [helper.make_tensor_value_info("c", result, (size, size))],
        [onnx.numpy_helper.from_array(constant, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), _one_thread(), ["CPUExecutionProvider"]
    )
    left = np.abs(weights).astype(helper.tensor_dtype_to_np_dtype(kinds[0]))
    seconds = []
    for _ in range(10):
        began = process_time()
        session.run(None, {"a": left})
        seconds.append(process_time() - began)
    return 2 * size**3 / min(seconds) / 1e9


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options
