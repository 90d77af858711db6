"""Losses over student and teacher in PyTorch, float64: value and gradients of what the text of a loss says, for test/golden/distillation.generated.json.

    python bench/peers/distillation_golden.py > test/golden/distillation.generated.json

`loss` is the text; inputs that begin with "student" or "teacher" are values of the two networks, "mask" is the attention mask, "labels" are
the labels (-100: none), the others are what the loss learns. Gradients are checked by central differences.
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
draw = torch.Generator().manual_seed(1)
cases = []


def normal(*shape):
    """Multiples of 1/1024: short, and exact in float32."""
    return (torch.randn(*shape, generator=draw) * 1024).round() / 1024


def tensor(x):
    numbers = [float(f"{each:.10g}") if x.is_floating_point() else each for each in x.flatten().tolist()]
    return {"dtype": str(x.dtype).removeprefix("torch."), "shape": list(x.shape), "data": numbers}


def case(name, loss, formula, **inputs):
    held = [key for key in inputs if not key.startswith(("teacher", "mask", "labels"))]
    given = {key: value.clone().requires_grad_(key in held) for key, value in inputs.items()}
    value = formula(**given)
    gradients = torch.autograd.grad(value, [given[key] for key in held])

    def of(*tensors):
        return formula(**{**given, **dict(zip(held, tensors))})

    assert torch.autograd.gradcheck(of, [given[key] for key in held], eps=1e-6, atol=1e-6, rtol=1e-3), name
    cases.append({
        "loss": loss, "name": name, "options": {}, "value": value.item(),
        "inputs": {key: tensor(value) for key, value in inputs.items()},
        "gradients": dict(zip(held, map(tensor, gradients))),
    })


def kl(p, q):
    """KL(softmax(p) || softmax(q)) of each row."""
    return (F.softmax(p, -1) * (F.log_softmax(p, -1) - F.log_softmax(q, -1))).sum(-1)


def over(rows, mask):
    return (rows * mask).sum() / mask.sum()


mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 0, 0]])
labels = torch.tensor([[1, -100, 0, 2], [3, 4, -100, 1]])
counted = mask * (labels != -100)
scores = {"student": normal(2, 4, 5), "teacher": normal(2, 4, 5)}
first = scores["student"][:, 0], scores["teacher"][:, 0]


case("padding and tokens without a label do not count", "hinton(temperature=2)",
     lambda student, teacher, mask, labels: 4 * over(kl(teacher / 2, student / 2), counted), **scores, mask=mask, labels=labels)


case("two outputs, of tokens and of samples", "output-mse",
     lambda student, teacher, student_other, teacher_other, mask:
     (over(((student - teacher) ** 2).mean(-1), mask) + ((student_other - teacher_other) ** 2).mean()) / 2,
     **scores, student_other=first[0], teacher_other=first[1], mask=mask)

print(json.dumps({"generator": "bench/peers/distillation_golden.py", "torch": torch.__version__, "cases": cases}, separators=(",", ":")).replace('{"loss"', '\n{"loss"'))
