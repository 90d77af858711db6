"""Block influence in NumPy, float64 (Men et al. 2024, ShortGPT, arXiv 2403.03853):

    python test/golden/block_influence.py > test/golden/block-influence.generated.json

A tower of residual blocks h + gelu(h A + a) B, over vectors; and one of blocks relu(h + conv(h)) with kernels of 1, over channels of images. 1 - the mean of the cosine
between what a block reads and its output, over all samples and places.
"""

import json
from math import erf

import numpy as np

random = np.random.default_rng(5)
gelu = np.vectorize(lambda x: 0.5 * x * (1 + erf(x / 2**0.5)))


def drawn(*dims, scale=1.0):
    return (64 * scale * random.normal(0, 1, dims)).round() / 64


def influence(x, y, axis):
    norms = np.sqrt((x * x).sum(axis) * (y * y).sum(axis))
    cosines = (x * y).sum(axis) / np.where(norms == 0, 1, norms)
    return 1 - np.where(norms == 0, (x * x).sum(axis) == (y * y).sum(axis), cosines).mean()


def vectors():
    x, blocks, found = drawn(3, 4, 6), [], []
    h = x
    for scale in (1, 0.03, 0.5, 2):
        a, bias, b = drawn(6, 12), drawn(12), drawn(12, 6, scale=scale)
        y = h + gelu(h @ a + bias) @ b
        found.append(influence(h, y, -1))
        blocks.append([a.ravel().tolist(), bias.tolist(), b.ravel().tolist()])
        h = y
    return {"x": x.ravel().tolist(), "blocks": blocks, "influence": found}


def images():
    x, blocks, found = drawn(3, 2, 4, 4), [], []
    x[0, :, 0, 0] = 0
    h = np.maximum(x, 0)
    for scale in (1, 0.5, 0.1):
        w = drawn(2, 2, scale=scale)
        y = np.maximum(h + np.einsum("oc,nchw->nohw", w, h), 0)
        found.append(influence(h, y, 1))
        blocks.append([w.ravel().tolist()])
        h = y
    return {"x": x.ravel().tolist(), "blocks": blocks, "influence": found}


print(json.dumps({"vectors": vectors(), "images": images()}))
