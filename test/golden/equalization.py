"""Cross-layer equalization in NumPy, float64 (Nagel et al. 2019, arXiv 1906.04721):

    python test/golden/equalization.py > test/golden/equalization.generated.json

Three layers in a row, W1, W2, W3 as outputs x inputs. Between two neighbors s = sqrt(max |W_next[:, u]| / max |W[u, :]|) multiplies the rows of the first and
divides the columns of the second, in turn until no factor of a sweep is further from 1 than e^0.01, twenty sweeps at most. The middle of the second network is
depthwise: a number for each channel, so that both neighbors share it, and all three end at (r1 r2 r3)^(1/3).

"""

import json

import numpy as np

random = np.random.default_rng(3)


def equalized(weights, diagonal):
    weights = [weight.copy() for weight in weights]
    factors = [np.ones(len(weight)) for weight in weights[:-1]]
    for _ in range(20):
        farthest = 0
        for at, own in enumerate(factors):
            first, second = weights[at], weights[at + 1]
            r1 = np.abs(first).max(axis=1)
            r2 = np.abs(second[:, 0]) if diagonal and at == 0 else np.abs(second).max(axis=0)
            s = np.sqrt(r2 / r1)
            first *= s[:, None]
            if diagonal and at == 0:
                second /= s[:, None]
            else:
                second /= s
            own *= s
            farthest = max(farthest, np.abs(np.log(s)).max())
        if farthest < 0.01:
            break
    return factors


def network(shapes, diagonal):
    weights = [(random.normal(0, 1, shape) * 2.0 ** random.integers(-4, 5, shape[0])[:, None] * 64).round() / 64 for shape in shapes]
    weights = [np.where(weight == 0, 1 / 64, weight) for weight in weights]
    factors = equalized(weights, diagonal)
    return {
        "weights": [weight.ravel().tolist() for weight in weights],
        "factors": [own.tolist() for own in factors],
    }


print(
    json.dumps(
        {
            "chain": network([(6, 4), (5, 6), (3, 5)], False),
            "depthwise": network([(6, 4), (6, 1), (3, 6)], True),
        }
    )
)
