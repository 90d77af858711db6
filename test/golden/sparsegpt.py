"""SparseGPT in NumPy, float64 (Frantar and Alistarh 2023, arXiv 2301.00774), with one block of all columns:

    python test/golden/sparsegpt.py > test/golden/sparsegpt.generated.json

H = XᵀX with 1 % of the mean of its diagonal added; U upper, H⁻¹ = UᵀU. Scores are (w / U_ii)² of the weights before; those of least score go, in the
whole matrix or of each four in a row. Then column by column: e = (w - what is left of it) / U_ii, and what is right of it moves by -e · U_i.
"""

import json
import sys

import numpy as np

rows, columns, samples = 6, 16, 50
random = np.random.default_rng(3)
weight = random.normal(0, 1200, (rows, columns)).round() / 4096
factors = random.normal(0, 1, (samples, 5)) @ random.normal(0, 1, (5, columns))
x = (64 * (factors + 0.3 * random.normal(0, 1, (samples, columns)))).round() / 64


def upper():
    gram = x.T @ x
    gram += 0.01 * np.diag(gram).mean() * np.eye(columns)
    return np.linalg.cholesky(np.linalg.inv(gram)).T


def smallest(scores, count):
    gone = np.zeros(scores.size, bool)
    gone[np.argsort(scores.ravel(), kind="stable")[:count]] = True
    return gone.reshape(scores.shape)


def of_each(scores, n, m):
    groups = scores.reshape(-1, m)
    order = np.argsort(groups, axis=1, kind="stable")
    gone = np.zeros(groups.shape, bool)
    np.put_along_axis(gone, order[:, : m - n], True, axis=1)
    return gone.reshape(scores.shape)


def sparsegpt(choose):
    w, u = weight.copy(), upper()
    gone = choose((w / np.diag(u)) ** 2)
    for i in range(columns):
        left = np.where(gone[:, i], 0, w[:, i])
        error = (w[:, i] - left) / u[i, i]
        w[:, i] = left
        w[:, i + 1 :] -= np.outer(error, u[i, i + 1 :])
    return w.ravel().tolist()


json.dump(
    {
        "generator": "test/golden/sparsegpt.py",
        "numpy": np.__version__,
        "rows": rows,
        "columns": columns,
        "weight": (weight * 4096).astype(int).ravel().tolist(),
        "x": (x * 64).astype(int).ravel().tolist(),
        "cases": [
            {"options": {"amount": 0.5}, "weights": sparsegpt(lambda s: smallest(s, s.size // 2))},
            {"options": {"pattern": "2:4"}, "weights": sparsegpt(lambda s: of_each(s, 2, 4))},
        ],
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
