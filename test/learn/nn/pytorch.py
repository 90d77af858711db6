"""Writes pytorch.json: what PyTorch's modules make of fixed inputs and weights, and the bounds of its initial values.

    python test/learn/nn/pytorch.py > test/learn/nn/pytorch.json

Entry i of a tensor "name" is sin(0.37 i + length of name) / 2, of a running variance its absolute value + 1/2; of the input sin(0.73 i).
"""
import json
import math

import torch
from torch import nn

torch.set_grad_enabled(False)


def wave(step, shift, shape):
    count = math.prod(shape)
    return torch.tensor([math.sin(step * i + shift) for i in range(count)], dtype=torch.float64).reshape(shape)


def fill(module):
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        numbers = wave(0.37, len(name), tensor.shape) / 2
        tensor.copy_(numbers.abs() + 0.5 if name.endswith("running_var") else numbers)
    return module.eval()


def numbers(tensor):
    return {"dims": list(tensor.shape), "data": [float(f"{x:.8g}") for x in tensor.flatten().tolist()]}


class Attention(nn.Module):
    """The four layers by name, given to PyTorch's own attention."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        for name in ("query", "key", "value", "output"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x, mask):
        own = nn.MultiheadAttention(x.shape[-1], self.heads, batch_first=True)
        own.in_proj_weight.copy_(torch.cat([self.query.weight, self.key.weight, self.value.weight]))
        own.in_proj_bias.copy_(torch.cat([self.query.bias, self.key.bias, self.value.bias]))
        own.out_proj.weight.copy_(self.output.weight)
        own.out_proj.bias.copy_(self.output.bias)
        own.double().eval()
        return own(x, x, x, key_padding_mask=mask == 0, need_weights=False)[0]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.shortcut = nn.Conv2d(2, 3, 1, stride=2)

    def forward(self, x):
        return self.conv2(torch.relu(self.bn1(self.conv1(x)))) + self.shortcut(x)


mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
modules = {
    "linear": (nn.Linear(3, 2), [2, 3]),
    "linear of three axes": (nn.Linear(3, 2), [2, 2, 3]),
    "conv1d": (nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2), [2, 2, 9]),
    "conv2d": (nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), [1, 4, 5, 4]),
    "conv2d depthwise": (nn.Conv2d(3, 3, 3, padding=2, dilation=2, groups=3, bias=False), [1, 3, 4, 4]),
    "batchNorm": (nn.BatchNorm2d(3), [2, 3, 2, 2]),
    "layerNorm": (nn.LayerNorm(6), [2, 2, 6]),
    "maxPool": (nn.MaxPool2d(3, stride=2, padding=1), [1, 2, 5, 5]),
    "averagePool": (nn.AvgPool2d(3, stride=2, padding=1), [1, 2, 5, 5]),
    "averagePool of one axis": (nn.AvgPool1d(2), [1, 2, 7]),
    "globalAveragePool": (nn.AdaptiveAvgPool2d(1), [2, 2, 3, 2]),
    "gelu": (nn.GELU(), [12]),
    "sigmoid": (nn.Sigmoid(), [12]),
    "tanh": (nn.Tanh(), [12]),
    "silu": (nn.SiLU(), [12]),
    "attention": (Attention(8, 2), [2, 4, 8]),
    "residual": (Residual(), [1, 2, 4, 4]),
}
outputs = {}
for name, (module, dims) in modules.items():
    x = wave(0.73, 0, dims)
    module = fill(module.double())
    outputs[name] = numbers(module(x, mask) if name.startswith("attention") else module(x))
ids = torch.tensor([[0, 3, 1], [4, 4, 2]])
outputs["embedding"] = numbers(fill(nn.Embedding(5, 3).double())(ids))


def bound(module):
    """Of a large layer the greatest of the initial values is near the bound that they are drawn from."""
    torch.manual_seed(0)
    module.reset_parameters()
    return {"weight": module.weight.abs().max().item(), "bias": module.bias.abs().max().item()}


bounds = {
    "linear": bound(nn.Linear(100, 2000)),
    "conv1d": bound(nn.Conv1d(8, 4000, 5)),
    "conv2d": bound(nn.Conv2d(16, 4000, 3, groups=4)),
}
table = nn.Embedding(2000, 50).weight
initial = {
    "bounds": bounds,
    "embedding": {"mean": table.mean().item(), "deviation": table.std().item()},
    "norms": [[float(t.unique()) for t in m.state_dict().values()] for m in (nn.LayerNorm(5), nn.BatchNorm2d(5))],
}


def curve():
    """Losses, and the running mean at the end, of five steps of a network with batch normalization in training."""
    torch.set_grad_enabled(True)
    net = fill(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=0.3), nn.Flatten(), nn.Linear(12, 2)).double())
    net.train()
    x, y = wave(0.73, 0, [4, 2, 4, 4]), wave(0.5, 1, [4, 2])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "mean": net[1].running_mean.tolist(), "variance": net[1].running_var.tolist()}


training = curve()
print(json.dumps({"training": training, "torch": torch.__version__, "outputs": outputs, "initial": initial}))
