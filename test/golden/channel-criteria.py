"""Scores of channels in NumPy, float64:

    python test/golden/channel-criteria.py > test/golden/channel-criteria.generated.json

y = relu(γ · (x A − μ) / √(σ² + ε) + β) B, loss = mean over outputs of (y − t)². Scores of the five channels between:
- activation: E|h| over the mean
- taylor: E[(Σ_o ∂loss/∂y_o B_uo h_u)²] (Molchanov et al. 2019)
- fisher: Σ_i ½ A_iu² E[(∂loss/∂A_iu)²]
"""

import json

import numpy as np

random = np.random.default_rng(5)


def eighths(*dims):
    return random.integers(-16, 17, dims) / 8


x, a, b, target = eighths(6, 3), eighths(3, 5), eighths(5, 2), eighths(6, 2)
gamma, beta, mean = eighths(5), eighths(5), eighths(5)
variance, epsilon = random.integers(1, 17, 5) / 8, 2.0**-10

factor = gamma / np.sqrt(variance + epsilon)
before = (x @ a - mean) * factor + beta
h = np.maximum(before, 0)
dy = 2 * (h @ b - target) / 2
dh = dy @ b.T
dz = dh * (before > 0) * factor
gradients = x[:, :, None] * dz[:, None, :]


def relative(scores):
    return (scores / scores.mean()).tolist()


scores = {
    "activation": relative(h.mean(0)),
    "taylor": ((dh * h) ** 2).mean(0).tolist(),
    "fisher": (0.5 * a**2 * (gradients**2).mean(0)).sum(0).tolist(),
}
inputs = {"x": x, "a": a, "b": b, "target": target, "gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
print(json.dumps({"epsilon": epsilon, **{name: value.tolist() for name, value in inputs.items()}, "scores": scores}))
