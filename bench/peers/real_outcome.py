"""What a variant of a network changes, by onnxruntime alone: real_outcome.py text|speech|sentences FOLDER DATA REFERENCE.npz BASE=FILE…

    pip install onnxruntime numpy transformers

FOLDER has the tokenizer. REFERENCE.npz holds the outputs of the float32 files; it is written if it does not exist. Prints JSON: the metric value, its
change, and how often outputs are the same, with intervals of 95 %. Intervals are those of 2,000 bootstrap samples: of pairs of sentences, of runs of 32
tokens, or of windows of 30 s. text: perplexity of the first 1,024 tokens of DATA in one window, and equal most likely tokens. speech: words of the
recording DATA that differ from float32's transcript (an interval of Wilson). sentences: rank correlation of cosines with the scores of the pairs in DATA
(text, text, score; each second row), and the cosine of each sentence's vector with float32's.
"""
import csv
import json
import sys
from pathlib import Path

import numpy as np
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
    count, square = len(original), 1.96**2
    share = min(1, edits(original, words) / count)
    center, half = (share + square / 2 / count), 1.96 * np.sqrt(share * (1 - share) / count + square / 4 / count**2)
    limits = {"low": float(max(0, (center - half) / (1 + square / count))), "high": float((center + half) / (1 + square / count))}
    return {"value": share, "count": count, "change": {"value": share, **limits}}


def main(kind, folder, data, cache, *pairs):
    def reference(found):
        if not Path(cache).exists():
            np.savez(cache, **found)
        return np.load(cache)

    outcome = {"text": text_outcome, "speech": speech_outcome, "sentences": sentence_outcome}[kind]
    print(json.dumps(outcome(Path(folder), data, dict(pair.split("=", 1) for pair in pairs), reference)))


main(*sys.argv[1:])
