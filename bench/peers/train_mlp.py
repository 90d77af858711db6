"""Trains an MLP with PyTorch on request: reads a number of steps per line, prints milliseconds per step (fastest, median).

    python train_mlp.py THREADS 784-1200-1200-10 BATCH

The same shapes, batch, optimizer and number of threads as bench/train.bench.ts, which runs it side by side.
"""

import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1)
sizes = [int(size) for size in sys.argv[2].split("-")]
batch = int(sys.argv[3])
layers = []
for inputs, outputs in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
net = torch.nn.Sequential(*layers[:-1])
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
loss_of = torch.nn.CrossEntropyLoss()
x = torch.randn(batch, sizes[0])
y = torch.randint(0, sizes[-1], (batch,))


def step():
    optimizer.zero_grad()
    loss_of(net(x), y).backward()
    optimizer.step()


for _ in range(20):
    step()
print(f"ready {torch.__version__}", flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    print(times[0], times[len(times) // 2], flush=True)
