"""GPTQ in NumPy, float64 (Frantar et al. 2022, arXiv 2210.17323), column by column:

    python test/golden/gptq.py > test/golden/gptq.generated.json

H = XᵀX with 1 % of the mean of its diagonal added. In the paper a column that is 0 in all samples has weights of 0; here it is rounded, as other
samples may have it. U upper, H⁻¹ = UᵀU.
Columns come in the order of H's diagonal, the largest first; for each: q = its codes, e = (w - numbers of q) / U_ii, and what comes after it moves by
-e · U_i. Scales are those of the weight before; a weight of 0 stays 0.
"""

import json
import sys

import numpy as np

rows, columns, samples = 12, 70, 120
random = np.random.default_rng(1)
weight = random.normal(0, 1200, (rows, columns)).round() / 4096
factors = random.normal(0, 1, (samples, 6)) @ random.normal(0, 1, (6, columns))
x = (64 * (factors + 0.3 * random.normal(0, 1, (samples, columns)))).round() / 64
x[:, 9] = 0
weight[random.random(weight.shape) < 0.1] = 0


def per_row(weight):
    """int8, ±127: one scale for each row."""
    scale = np.float32(2 * np.abs(weight).max(axis=1)) / 254
    return np.float32(scale)[:, None].repeat(columns, axis=1), 0, -127, 127


def in_blocks(weight, symmetric, size=32, high=15):
    """Codes of 4 bits: a scale and a zero point for each block of a row, the last of which is shorter."""
    scale, zero = np.empty(weight.shape, np.float32), np.full(weight.shape, 8)
    for start in range(0, columns, size):
        block = weight[:, start : start + size]
        low, top = np.minimum(block.min(axis=1), 0), np.maximum(block.max(axis=1), 0)
        own = np.float32(-np.where(top > -low, top, low) / 8 if symmetric else np.float32(top - low) / high)
        scale[:, start : start + size] = own[:, None]
        if not symmetric:
            zero[:, start : start + size] = np.floor(np.float32(-low / own) + 0.5)[:, None]
    return scale, zero, 0, high


def gptq(weight, scale, zero, low, high):
    scale, zero, gram = np.float64(scale), np.broadcast_to(zero, weight.shape), x.T @ x
    order = np.argsort(-np.diag(gram), kind="stable")
    weight, scale, zero, gram = weight[:, order].copy(), scale[:, order], zero[:, order], gram[order][:, order]
    gone = weight == 0
    gram += 0.01 * np.diag(gram).mean() * np.eye(columns)
    upper = np.linalg.cholesky(np.linalg.inv(gram)).T
    codes = np.empty(weight.shape, int)
    for i in range(columns):
        s, z = scale[:, i], zero[:, i]
        codes[:, i] = np.where(gone[:, i], z, np.clip(np.rint(weight[:, i] / s) + z, low, high))
        error = (weight[:, i] - (codes[:, i] - z) * s) / upper[i, i]
        weight[:, i:] -= np.outer(error, upper[i, i:])
    return codes[:, np.argsort(order)]


def case(options, grid):
    return {"options": options, "codes": gptq(weight, *grid).ravel().tolist()}


json.dump(
    {
        "generator": "test/golden/gptq.py",
        "numpy": np.__version__,
        "rows": rows,
        "columns": columns,
        "weight": (weight * 4096).astype(int).ravel().tolist(),
        "x": (x * 64).astype(int).ravel().tolist(),
        "cases": [
            case({"bits": 8}, per_row(weight)),
            case({"bits": 4, "block": 32}, in_blocks(weight, True)),
            case({"bits": 4, "block": 32, "zeroPoints": True}, in_blocks(weight, False)),
        ],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
