"""SparseGPT in NumPy, float64 (Frantar and Alistarh 2023, arXiv 2301.00774):

    python test/golden/sparsegpt.py > test/golden/sparsegpt.generated.json

H = XᵀX with 1 % of the mean of its diagonal added; U upper, H⁻¹ = UᵀU. Scores are (w / U_ii)². Of each 128 columns those of least score go, or of each four in a
row, as the columns before have left them. Then column by column: e = (w - what is left of it) / U_ii, and what is right of it moves by -e · U_i.
"""

import json
import sys

import numpy as np

random = np.random.default_rng(3)


def layer(rows, columns, samples):
    weight = random.normal(0, 1200, (rows, columns)).round() / 4096
    factors = random.normal(0, 1, (samples, 5)) @ random.normal(0, 1, (5, columns))
    return weight, (64 * (factors + 0.3 * random.normal(0, 1, (samples, columns)))).round() / 64


def upper(x):
    gram = x.T @ x
    gram += 0.01 * np.diag(gram).mean() * np.eye(len(gram))
    return np.linalg.cholesky(np.linalg.inv(gram)).T


def smallest(scores, count):
    gone = np.zeros(scores.size, bool)
    gone[np.argsort(scores.ravel(), kind="stable")[:count]] = True
    return gone.reshape(scores.shape)


def sparsegpt(weight, x, step, share):
    w, u = weight.copy(), upper(x)
    columns = w.shape[1]
    for i in range(columns):
        if i % step == 0:
            scores = (w[:, i : i + step] / np.diag(u)[i : i + step]) ** 2
            # Python rounds halves to even. Of each m columns each row loses its own.
            parts = [scores] if step == 128 else [row[None] for row in scores]
            gone = np.concatenate([smallest(part, round(share * part.size)) for part in parts])
        left = np.where(gone[:, i % step], 0, w[:, i])
        error = (w[:, i] - left) / u[i, i]
        w[:, i] = left
        w[:, i + 1 :] -= np.outer(error, u[i, i + 1 :])
    return w.ravel().tolist()


def golden(rows, columns, samples):
    weight, x = layer(rows, columns, samples)
    return {
        "rows": rows,
        "columns": columns,
        "weight": (weight * 4096).astype(int).ravel().tolist(),
        "x": (x * 64).astype(int).ravel().tolist(),
        "cases": [
            {"options": {"amount": 0.5}, "weights": sparsegpt(weight, x, 128, 0.5)},
            {"options": {"pattern": "2:4"}, "weights": sparsegpt(weight, x, 4, 0.5)},
        ],
    }


json.dump(
    {
        "generator": "test/golden/sparsegpt.py",
        "numpy": np.__version__,
        "layers": [golden(6, 16, 50), golden(2, 152, 20)],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
