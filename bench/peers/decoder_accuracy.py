"""Perplexity of language models, how often their most likely token is that of the original, and their speed.

    pip install numpy onnxruntime tokenizers
    python decoder_accuracy.py FOLDER TEXT [--tokens 1024] [--steps 0] MODEL.onnx …

FOLDER is laid out for transformers.js; its onnx/model.onnx is the original. The first tokens of the text are one run with an empty cache, on one thread.
With --steps, each model continues the first 64 tokens one at a time, with its own cache. The steps of all models are interleaved, and the speed is the
median, in tokens per second of processor time. The last line is JSON.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("text", type=Path)
parser.add_argument("models", nargs="+", type=Path)
parser.add_argument("--tokens", type=int, default=1024)
parser.add_argument("--steps", type=int, default=0)
options = parser.parse_args()
text = options.text.read_text()[: 12 * options.tokens]
ids = Tokenizer.from_file(str(options.folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids[: options.tokens]


def open_session(file):
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return ort.InferenceSession(str(file), settings)


def empty_cache(session):
    past = [value for value in session.get_inputs() if value.name.startswith("past")]
    dims = lambda value: [1, *(dim if isinstance(dim, int) else 0 for dim in value.shape[1:])]
    return {value.name: np.zeros(dims(value), np.float16 if "float16" in value.type else np.float32) for value in past}


def run(session, tokens, cache, length=0):
    """Returns the logits and the next cache. length: tokens in the cache."""
    total = length + tokens.shape[1]
    named = {"input_ids": tokens, "attention_mask": np.ones((1, total), np.int64), "position_ids": np.arange(length, total)[None]}
    feeds = {value.name: cache.get(value.name, named.get(value.name)) for value in session.get_inputs()}
    outputs = dict(zip((value.name for value in session.get_outputs()), session.run(None, feeds)))
    return outputs["logits"][0], {name: outputs[name.replace("past_key_values", "present")] for name in cache}


def scores(file):
    session = open_session(file)
    logits = run(session, np.array([ids], np.int64), empty_cache(session))[0].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def speeds(files):
    prompt = np.array([ids[:64]], np.int64)
    states = [[session, prompt, empty_cache(session), 0, []] for session in map(open_session, files)]
    for _ in range(options.steps + 1):
        for state in states:
            session, tokens, cache, length, times = state
            start = time.process_time()
            logits, state[2] = run(session, tokens, cache, length)
            times.append(time.process_time() - start)
            state[1], state[3] = logits[-1:].argmax(-1)[None], length + tokens.shape[1]
    return [1 / float(np.median(times[1:])) for *_, times in states]


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
if options.steps > 0:
    for row, speed in zip(rows, speeds([options.folder / "onnx" / "model.onnx", *options.models])):
        row["tokens/s"] = speed
for row in rows:
    print("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else str(value) for key, value in row.items()))
print(json.dumps(rows))
