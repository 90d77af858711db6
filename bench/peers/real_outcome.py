"""What a variant of a network changes, by onnxruntime alone: real_outcome.py text|speech|sentences|lines|chunks FOLDER DATA REFERENCE.npz BASE=FILE…

    pip install onnxruntime numpy pillow transformers

FOLDER has the tokenizer, or the float32 model. REFERENCE.npz holds the outputs of the float32 files; it is written if it does not exist. Prints JSON: the metric value, its
change, and how often outputs are the same, with intervals of 95 %. Intervals are those of 2,000 bootstrap samples: of pairs of sentences, of runs of 32
tokens, or of windows of 30 s. text: perplexity of the first 1,024 tokens of DATA in one window, and equal most likely tokens. speech: words of the
recording DATA that differ from float32's transcript (an interval of Wilson). sentences: rank correlation of cosines with the scores of the pairs in DATA
(text, text, score; each second row), and the cosine of each sentence's vector with float32's. lines: characters of 500 drawn lines that are read right
(without spaces, as PP-OCR counts them), and lines that are read as float32 reads them. chunks: 32 ms of sound with another decision at a probability of
0.5 than float32's (an interval of Wilson), and the mean difference of the probability.
"""
import csv
import json
import sys
from pathlib import Path

import numpy as np
import real_data
from real_measure import AutoTokenizer, Network, edits, speech, text


def interval(values):
    return {"low": float(np.percentile(values, 2.5)), "high": float(np.percentile(values, 97.5))}


def resampled(count, statistic, groups=1):
    """The statistic on samples drawn with replacement, in runs of `groups` neighbors."""
    generator = np.random.default_rng(0)
    starts = np.arange(0, count - groups + 1, groups)
    drawn = lambda: (generator.choice(starts, len(starts))[:, None] + np.arange(groups)).ravel()
    return [statistic(drawn()) for _ in range(2000)]


def ranks(values):
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def correlation(a, b):
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def sentence_outcome(folder, data, files, reference):
    rows = [row for row in csv.reader(open(data)) if len(row) == 3][::2]
    lines, scores = [row[side] for side in (0, 1) for row in rows], np.array([float(row[2]) for row in rows])
    tokenizer, network, found = AutoTokenizer.from_pretrained(folder), Network(files["model"]), []
    for line in lines:
        given = tokenizer(line, truncation=True, max_length=128, return_tensors="np")
        states = next(iter(network.run(**given).values()))[0].astype(np.float64)
        found.append(states.mean(0))
    vectors = np.array(found)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    original = reference({"vectors": vectors})["vectors"]
    first, second = [(each[: len(rows)] * each[len(rows) :]).sum(1) for each in (original, vectors)]
    change = lambda index: correlation(second[index], scores[index]) - correlation(first[index], scores[index])
    same = (original * vectors).sum(1)
    return {
        "value": correlation(second, scores), "count": len(rows),
        "change": {"value": change(np.arange(len(rows))), **interval(resampled(len(rows), change))},
        "same": {"value": float(same.mean()), **interval(resampled(len(same), lambda index: same[index].mean()))},
    }


def text_outcome(folder, data, files, reference):
    losses, tokens = text(folder, data, files)
    original = reference({"losses": losses, "tokens": tokens})
    same, rise = tokens == original["tokens"], losses - original["losses"]
    change = lambda index: float(np.exp(rise[index].mean()) - 1)
    return {
        "value": float(np.exp(losses.mean())), "count": len(losses),
        "change": {"value": change(np.arange(len(losses))), **interval(resampled(len(losses), change, 32))},
        "same": {"value": float(same.mean()), **interval(resampled(len(losses), lambda index: same[index].mean(), 32))},
    }


def speech_outcome(folder, data, files, reference):
    words = speech(folder, data, files)
    original = [str(word) for word in reference({"words": np.array(words)})["words"]]
    return counted(min(1, edits(original, words) / len(original)), len(original))


def counted(share, count):
    """A share of counted items, with the interval of Wilson."""
    square = 1.96**2
    center, half = (share + square / 2 / count), 1.96 * np.sqrt(share * (1 - share) / count + square / 4 / count**2)
    limits = {"low": float(max(0, (center - half) / (1 + square / count))), "high": float((center + half) / (1 + square / count))}
    return {"value": share, "count": count, "change": {"value": share, **limits}}


def line_outcome(folder, data, files, reference):
    images, texts = real_data.lines(data, 500, 1)
    known = real_data.characters(folder / "model.onnx")
    found = [text.replace(" ", "") for text in real_data.read(real_data.session(files["model"]), images, known)]
    original = [str(text) for text in reference({"texts": np.array(found)})["texts"]]
    texts = [text.replace(" ", "") for text in texts]
    lengths = np.array([len(text) for text in texts])
    right = lambda readings: lengths - [min(len(text), edits(text, reading)) for text, reading in zip(texts, readings)]
    first, second = right(original), right(found)
    same = np.array(original) == np.array(found)
    change = lambda index: float((second - first)[index].sum() / lengths[index].sum())
    return {
        "value": float(second.sum() / lengths.sum()), "count": len(texts),
        "change": {"value": change(np.arange(len(texts))), **interval(resampled(len(texts), change))},
        "same": {"value": float(same.mean()), **interval(resampled(len(texts), lambda index: same[index].mean()))},
    }


def chunk_outcome(folder, data, files, reference):
    network = real_data.session(files["model"])
    found = np.array([value for sound in real_data.sounds(data) for _, value in real_data.chunks(network, sound)])
    original = reference({"probabilities": found})["probabilities"]
    difference = np.abs(found - original)
    outcome = counted(float(((found > 0.5) != (original > 0.5)).mean()), len(found))
    drawn = resampled(len(found), lambda index: difference[index].mean(), 32)
    return {**outcome, "same": {"value": float(difference.mean()), **interval(drawn)}}


def main(kind, folder, data, cache, *pairs):
    def reference(found):
        if not Path(cache).exists():
            np.savez(cache, **found)
        return np.load(cache)

    outcomes = {"text": text_outcome, "speech": speech_outcome, "sentences": sentence_outcome, "lines": line_outcome, "chunks": chunk_outcome}
    print(json.dumps(outcomes[kind](Path(folder), data, dict(pair.split("=", 1) for pair in pairs), reference)))


main(*sys.argv[1:])
