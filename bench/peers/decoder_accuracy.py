"""Perplexity of language models, and how often their most likely token is that of the original.

    pip install numpy onnxruntime tokenizers
    python decoder_accuracy.py FOLDER TEXT [--tokens 1024] MODEL.onnx …

FOLDER is laid out for transformers.js; its onnx/model.onnx is the original. The first tokens of the text are one run with an empty cache, on one thread.
The last line is JSON.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("text", type=Path)
parser.add_argument("models", nargs="+", type=Path)
parser.add_argument("--tokens", type=int, default=1024)
options = parser.parse_args()
text = options.text.read_text()[: 12 * options.tokens]
ids = Tokenizer.from_file(str(options.folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids[: options.tokens]


def scores(file):
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), settings)
    tokens = np.array([ids], np.int64)
    named = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "position_ids": np.arange(len(ids))[None]}
    feeds = {}
    for value in session.get_inputs():
        dims = [1, *(dim if isinstance(dim, int) else 0 for dim in value.shape[1:])]
        feeds[value.name] = named.get(value.name, np.zeros(dims, np.float16 if "float16" in value.type else np.float32))
    logits = session.run(["logits"], feeds)[0][0].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def perplexity(logs):
    return float(np.exp(-logs[np.arange(len(ids) - 1), ids[1:]].mean()))


original = scores(options.folder / "onnx" / "model.onnx")
rows = [{"model": "float32", "perplexity": perplexity(original)}]
for model in options.models:
    logs = scores(model)
    divergence = (np.exp(original) * (original - logs)).sum(-1).mean()
    same = (logs.argmax(-1) == original.argmax(-1)).mean()
    megabytes = sum(part.stat().st_size for part in model.parent.glob(model.name + "*")) / 1e6
    rows.append({"model": str(model), "MB": megabytes, "perplexity": perplexity(logs), "same": float(same), "KL": float(divergence)})
for row in rows:
    print("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else str(value) for key, value in row.items()))
print(json.dumps(rows))
