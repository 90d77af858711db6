"""Steps of a network by PyTorch: reads a number of steps per line, prints milliseconds of the fastest, then the peak memory in bytes.

    python train_networks.py NAME THREADS [cpu]

The networks, batches, optimizers and losses of bench/train/networks.ts, which runs it side by side.
"""

import re
import sys
import time

import torch
from torch import nn

torch.set_num_threads(int(sys.argv[2]))
torch.manual_seed(1)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-4)


class Residual(nn.Module):
    def __init__(self, block, shortcut=None):
        super().__init__()
        self.block = block
        self.shortcut = shortcut

    def forward(self, x):
        return self.block(x) + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = (f(x).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.output(mixed.transpose(1, 2).reshape(b, t, w))


class First(nn.Module):
    def forward(self, x):
        return x[:, 0]


def mlp():
    return nn.Sequential(
        nn.Linear(784, 1200), nn.ReLU(), nn.Linear(1200, 1200), nn.ReLU(), nn.Linear(1200, 10)
    )


def encoder():
    layers = []
    for _ in range(6):
        layers += [
            Residual(nn.Sequential(nn.LayerNorm(384), Attention(384, 6))),
            Residual(nn.Sequential(nn.LayerNorm(384), nn.Linear(384, 1536), nn.GELU(), nn.Linear(1536, 384))),
        ]
    return nn.Sequential(*layers, First(), nn.Linear(384, 2))


def conv(a, b, k, **more):
    return nn.Conv2d(a, b, k, bias=False, **more)


def resnet(blocks):
    def block(a, b, stride):
        main = nn.Sequential(
            conv(a, b, 3, stride=stride, padding=1), nn.BatchNorm2d(b), nn.ReLU(), conv(b, b, 3, padding=1), nn.BatchNorm2d(b)
        )
        shortcut = None if a == b else nn.Sequential(conv(a, b, 1, stride=stride), nn.BatchNorm2d(b))
        return nn.Sequential(Residual(main, shortcut), nn.ReLU())

    layers = [conv(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    a = 16
    for stage, b in enumerate((16, 32, 64)):
        for at in range(blocks):
            layers.append(block(a, b, 2 if at == 0 and stage > 0 else 1))
            a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )


def mobilenetv2():
    def block(a, b, stride, expansion):
        inside = a * expansion
        layers = [] if expansion == 1 else [conv(a, inside, 1), nn.BatchNorm2d(inside), nn.ReLU()]
        layers += [
            conv(inside, inside, 3, stride=stride, padding=1, groups=inside), nn.BatchNorm2d(inside), nn.ReLU(),
            conv(inside, b, 1), nn.BatchNorm2d(b),
        ]
        body = nn.Sequential(*layers)
        return Residual(body) if stride == 1 and a == b else body

    layers = [conv(3, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    a = 32
    for expansion, b, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):
        for at in range(count):
            layers.append(block(a, b, stride if at == 0 else 1, expansion))
            a = b
    layers += [conv(320, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


class AttentionTogether(nn.Module):
    """Query, key and value by one product; explicit products are faster backwards on a CPU than scaled_dot_product_attention."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) * (w // self.heads) ** -0.5, -1)
        return self.out(torch.matmul(weights, v).transpose(1, 2).reshape(b, t, w))


class CCT(nn.Module):
    """The compact convolutional transformer of cct_cifar10.onnx."""

    def __init__(self, width=128, depth=5, heads=4):
        super().__init__()
        self.conv1, self.conv2, self.pool = conv(3, 32, 3, padding=1), conv(32, width, 3, padding=1), nn.MaxPool2d(3, 2, 1)
        self.position = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        self.layers = nn.Sequential(*(
            nn.Sequential(
                Residual(nn.Sequential(nn.LayerNorm(width), AttentionTogether(width, heads))),
                Residual(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))),
            )
            for _ in range(depth)
        ))
        self.norm, self.score, self.head = nn.LayerNorm(width), nn.Linear(width, 1), nn.Linear(width, 10)

    def forward(self, image):
        x = self.pool(torch.relu(self.conv1(image)))
        x = self.pool(torch.relu(self.conv2(x))).flatten(2).transpose(1, 2) + self.position
        x = self.norm(self.layers(x))
        weights = torch.softmax(self.score(x), dim=1)
        return self.head(torch.matmul(weights.transpose(-1, -2), x).squeeze(-2))


class SqueezeExcite(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

    def forward(self, x):
        return x * nn.functional.hardsigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def mobilenetv3():
    """The network of mobilenetv3_cifar10.onnx, without its dropout."""

    def block(a, inside, b, k, stride, squeezes, act):
        body = nn.Sequential(
            conv(a, inside, 1), nn.BatchNorm2d(inside), act(),
            conv(inside, inside, k, stride=stride, padding=k // 2, groups=inside), nn.BatchNorm2d(inside), act(),
            SqueezeExcite(inside) if squeezes else nn.Identity(),
            conv(inside, b, 1), nn.BatchNorm2d(b),
        )
        return Residual(body) if stride == 1 and a == b else body

    layers = [conv(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.Hardswish()]
    a = 16
    for b, inside, k, stride, squeezes, act in (
        (24, 48, 3, 1, False, nn.ReLU), (24, 72, 3, 1, False, nn.ReLU), (40, 96, 5, 2, True, nn.ReLU), (40, 120, 5, 1, True, nn.ReLU),
        (80, 200, 3, 1, False, nn.Hardswish), (80, 200, 3, 1, True, nn.Hardswish),
        (96, 240, 3, 1, True, nn.Hardswish), (96, 288, 5, 2, True, nn.Hardswish),
    ):
        layers.append(block(a, inside, b, k, stride, squeezes, act))
        a = b
    layers += [conv(96, 320, 1), nn.BatchNorm2d(320), nn.Hardswish(), Mean()]
    return nn.Sequential(*layers, nn.Linear(320, 384), nn.Hardswish(), nn.Linear(384, 10))


class LSTM(nn.Module):
    def __init__(self, width=128, hidden=256):
        super().__init__()
        self.lstm, self.head = nn.LSTM(width, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][0])


table = {
    "mlp": (mlp, (128, 784), 10, sgd),
    "mlp-adam": (mlp, (128, 784), 10, adam),
    "encoder": (encoder, (16, 64, 384), 2, adam),
    "lenet5": (lenet5, (128, 1, 28, 28), 10, sgd),
    "resnet20": (lambda: resnet(3), (128, 3, 32, 32), 10, sgd),
    "resnet56": (lambda: resnet(9), (128, 3, 32, 32), 10, sgd),
    "mobilenetv2": (mobilenetv2, (16, 3, 96, 96), 1000, sgd),
    "mobilenetv3": (mobilenetv3, (128, 3, 32, 32), 10, adam),
    "cct": (CCT, (128, 3, 32, 32), 10, adam),
    "lstm": (LSTM, (32, 64, 128), 10, adam),
}
build, shape, classes, optimizer_of = table[sys.argv[1]]
net = build().train()
x = torch.randn(*shape)
if len(shape) == 4:
    # Faster on a CPU than the default order.
    net = net.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
y = torch.randint(0, classes, (shape[0],))
optimizer = optimizer_of(net.parameters())
loss_of = nn.CrossEntropyLoss()


def step():
    optimizer.zero_grad()
    loss_of(net(x), y).backward()
    optimizer.step()


now = time.process_time if sys.argv[3:] == ["cpu"] else time.perf_counter
for _ in range(3):
    step()
print(f"ready {torch.__version__}", flush=True)
for line in sys.stdin:
    fastest = float("inf")
    for _ in range(int(line)):
        start = now()
        step()
        fastest = min(fastest, (now() - start) * 1000)
    peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
    print(fastest, int(peak.group(1)) * 1024, flush=True)
