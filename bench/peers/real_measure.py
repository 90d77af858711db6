"""Measures files of a language or speech model with onnxruntime alone: real_measure.py text|speech FOLDER DATA [dtype suffixes…]

    pip install onnxruntime numpy transformers

FOLDER is a folder of transformers.js, a suffix is that of its files ("" for the original, which is first, "_q4"). text: perplexity of the first 1,024
tokens of the text DATA in one window, and the share of tokens with the same most likely next token as the original's. speech: word error rate of the
recording DATA (16-bit WAV at 16 kHz, windows of 30 s, greedy) relative to the original's transcript. Prints JSON.
"""
import json
import os
import sys
import wave
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import numpy as np
import onnxruntime as ort
from transformers import AutoTokenizer, WhisperFeatureExtractor

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


class Network:
    def __init__(self, file):
        self.session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]

    def run(self, **feeds):
        feeds = {name: np.asarray(value, TYPES[self.inputs[name].type]) for name, value in feeds.items() if name in self.inputs}
        return dict(zip(self.outputs, self.session.run(None, feeds)))

    def empty_cache(self):
        return {name: np.zeros([1, value.shape[1], 0, value.shape[3]]) for name, value in self.inputs.items() if name.startswith("past_")}


def text(folder, data, files):
    """The loss of each token after the first, and the most likely tokens."""
    ids = AutoTokenizer.from_pretrained(folder)(Path(data).read_text(), truncation=True, max_length=1024).input_ids
    network = Network(files["model"])
    given = {"input_ids": [ids], "attention_mask": np.ones((1, len(ids))), "position_ids": [range(len(ids))]}
    logits = network.run(**given, **network.empty_cache())["logits"][0].astype(np.float64)[:-1]
    highest = logits.max(1)
    losses = np.log(np.exp(logits - highest[:, None]).sum(1)) + highest - logits[np.arange(len(logits)), ids[1:]]
    return losses, logits.argmax(1)


def windows(data):
    with wave.open(data) as recording:
        sound = np.frombuffer(recording.readframes(recording.getnframes()), np.int16) / 32768
    length = 30 * 16000
    return [sound[start:start + length] for start in range(0, len(sound), length)]


def speech(folder, data, files):
    """The words of the transcript."""
    encoder, decoder = Network(files["encoder_model"]), Network(files["decoder_model_merged"])
    settings = json.loads((folder / "generation_config.json").read_text())
    extractor, tokenizer = WhisperFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    words = []
    for sound in windows(data):
        features = extractor(sound, sampling_rate=16000, return_tensors="np").input_features
        states = encoder.run(input_features=features)["last_hidden_state"]
        cache, found = decoder.empty_cache(), []
        given = [settings["decoder_start_token_id"], *(token for _, token in settings["forced_decoder_ids"])]
        while len(found) < 224:
            outputs = decoder.run(input_ids=[given], encoder_hidden_states=states, use_cache_branch=[len(found) > 0], **cache)
            logits = outputs["logits"][0, -1].astype(np.float32)
            logits[settings["suppress_tokens"] + (settings["begin_suppress_tokens"] if not found else [])] = -np.inf
            for name in cache:
                # With a cache, the keys and values of the encoder come back empty.
                if not found or ".encoder." not in name:
                    cache[name] = outputs[name.replace("past_key_values", "present")]
            given = [int(logits.argmax())]
            if given[0] == settings["eos_token_id"]:
                break
            found += given
        words += tokenizer.decode(found, skip_special_tokens=True).lower().split()
    return words


def edits(a, b):
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        last, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (word != other)))
    return row[-1]


def main(kind, folder, data, *suffixes):
    results, first = {}, None
    for suffix in suffixes:
        bases = {"text": ["model"], "speech": ["encoder_model", "decoder_model_merged"]}[kind]
        files = {base: Path(folder) / "onnx" / f"{base}{suffix}.onnx" for base in bases}
        try:
            found = text(Path(folder), data, files) if kind == "text" else speech(Path(folder), data, files)
        except Exception as error:
            results[suffix] = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}
            continue
        first = found if first is None else first
        if kind == "text":
            results[suffix] = {"perplexity": float(np.exp(found[0].mean())), "agreement": float((found[1] == first[1]).mean())}
        else:
            results[suffix] = {"wordErrorRate": edits(first, found) / len(first), "words": len(first)}
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
