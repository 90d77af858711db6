"""AdaRound in NumPy, float64 (Nagel et al. 2020, arXiv 2004.10568), and what src/techniques/quantize/rounders/adaround.ts says of it:

    python test/golden/adaround.py > test/golden/adaround.generated.json

G = XᵀX of what comes in, D = W (G - Cᵀ) with C = XᵀY of what came in before. h = clip(σ(v) 1.2 - 0.1, 0, 1), v at first so that h is the fraction of w / s.
Adam (rate 0.05) over (e G eᵀ + 2 D eᵀ) / n + 0.3 Σ (1 - |2h - 1|^β), e = s · clip(⌊w/s⌋ + h) - w, n = mean of s² · mean of G's diagonal, in the first fifth of
the steps without the sum; β falls from 20 to 2 along a cosine. The codes are those with h ≥ 0.5 as 1; then, row by row, single ones change to the other neighbour of
w / s as long as that lowers the error; the same from the nearest codes, and of each row the better one.
"""

import json
import sys

import numpy as np

rows, columns, samples, steps = 8, 20, 60, 200
low, high = -8, 7
random = np.random.default_rng(2)
weight = random.normal(0, 1200, (rows, columns)).round() / 4096
weight[random.random(weight.shape) < 0.1] = 0
factors = random.normal(0, 1, (samples, 4)) @ random.normal(0, 1, (4, columns))
before = (64 * (factors + 0.4 * random.normal(0, 1, (samples, columns)))).round() / 64
after = (64 * (before + 0.1 * random.normal(0, 1, (samples, columns)))).round() / 64
scale = np.repeat((np.abs(weight).max(axis=1) / 7.5)[:, None], columns, axis=1)
gram, cross = after.T @ after, after.T @ before
gone = weight == 0
clip = lambda codes: np.clip(codes, low, high)
floor = np.floor(weight / scale)


def error(codes, slope):
    off = codes * scale - weight
    return ((off @ gram + 2 * slope) * off).sum(axis=1)


def relaxed(slope):
    rest = np.clip(weight / scale - floor, 0.01, 0.99)
    v = -np.log(1.2 / (rest + 0.1) - 1)
    first, second = np.zeros_like(v), np.zeros_like(v)
    unit = (scale**2).mean(axis=1, keepdims=True) * np.diag(gram).mean()
    for step in range(1, steps + 1):
        sigmoid = 1 / (1 + np.exp(-v))
        h = np.clip(sigmoid * 1.2 - 0.1, 0, 1)
        inside = (h == sigmoid * 1.2 - 0.1) & (clip(floor + h) == floor + h)
        gradient = (clip(floor + h) * scale - weight) @ gram + slope
        share = (step / steps - 0.2) / 0.8
        beta = 2 + 9 * (1 + np.cos(np.pi * share))
        pull = 0.6 * beta * np.sign(2 * h - 1) * np.abs(2 * h - 1) ** (beta - 1) if share > 0 else 0
        change = np.where(inside & ~gone, (2 * scale * gradient / unit - pull) * 1.2 * sigmoid * (1 - sigmoid), 0)
        first = 0.9 * first + 0.1 * change
        second = 0.999 * second + 0.001 * change**2
        moved = v - 0.05 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        v = np.where(gone, v, moved)
    return np.where(gone, 0, clip(floor + (h >= 0.5)))


def descended(codes, slope):
    codes = codes.copy()
    for row in range(rows):
        changed = True
        while changed:
            changed = False
            for at in range(columns):
                if gone[row, at]:
                    continue
                below = floor[row, at]
                other = clip(below + 1 if codes[row, at] == below else below)
                tried = codes.copy()
                tried[row, at] = other
                if error(tried, slope)[row] < error(codes, slope)[row] - 1e-9:
                    codes, changed = tried, True
    return codes


def case(slope):
    first = relaxed(slope)
    found, plain = descended(first, slope), descended(np.where(gone, 0, clip(np.rint(weight / scale))), slope)
    better = (error(plain, slope) < error(found, slope))[:, None]
    return {
        "slope": (slope * 64 * 64 * 4096).round().astype(int).ravel().tolist(),
        "codes": np.where(better, plain, found).astype(int).ravel().tolist(),
    }


exact = weight @ (gram - cross.T)
json.dump(
    {
        "generator": "test/golden/adaround.py",
        "numpy": np.__version__,
        "rows": rows,
        "columns": columns,
        "steps": steps,
        "weight": (weight * 4096).astype(int).ravel().tolist(),
        "gram": (gram * 64 * 64).round().astype(int).ravel().tolist(),
        "cases": [case(np.zeros_like(weight)), case(exact)],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
