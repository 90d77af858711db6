"""A network trained by PyTorch, as bench/learn/scratch.ts trains it: same initial weights, samples and recipe, an own order of the samples.

    python learn_networks.py FOLDER [--resume]

FOLDER has recipe.json (the options of `train`), weights.npz (in the order of the modules) and data.npz (train.*, test.*). Prints a line for
each epoch, and at last "result", the seconds and a 1 or 0 for each test sample. With --resume a checkpoint is kept there, and continued with
if it is of the same recipe.
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

folder = Path(sys.argv[1])
recipe = json.loads((folder / "recipe.json").read_text())
torch.set_num_threads(recipe["threads"])
torch.manual_seed(recipe["seed"])


class Residual(nn.Module):
    def __init__(self, block, shortcut=None):
        super().__init__()
        self.block, self.shortcut = block, shortcut

    def forward(self, x):
        return self.block(x) + (x if self.shortcut is None else self.shortcut(x))


def conv(a, b, k, **more):
    return nn.Conv2d(a, b, k, bias=False, **more)


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )


def resnet20():
    def block(a, b, stride):
        main = nn.Sequential(
            conv(a, b, 3, stride=stride, padding=1), nn.BatchNorm2d(b), nn.ReLU(), conv(b, b, 3, padding=1), nn.BatchNorm2d(b)
        )
        shortcut = None if a == b else nn.Sequential(conv(a, b, 1, stride=stride), nn.BatchNorm2d(b))
        return nn.Sequential(Residual(main, shortcut), nn.ReLU())

    layers = [conv(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    a = 16
    for stage, b in enumerate((16, 32, 64)):
        for at in range(3):
            layers.append(block(a, b, 2 if at == 0 and stage > 0 else 1))
            a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Layer(nn.Module):
    def __init__(self, width, heads, dropped):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.norm1 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropped)

    def forward(self, x, mask):
        b, t, w = x.shape
        q, k, v = (f(x).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :].bool())
        x = self.norm1(x + self.dropout(self.output(mixed.transpose(1, 2).reshape(b, t, w))))
        return self.norm2(x + self.dropout(self.down(F.gelu(self.up(x)))))


class TextClassifier(nn.Module):
    def __init__(self, words=6000, width=64, tokens=32, layers=2, dropped=0.2):
        super().__init__()
        self.word, self.position = nn.Embedding(words, width), nn.Embedding(tokens, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropped)
        self.layers = nn.ModuleList(Layer(width, 4, dropped) for _ in range(layers))
        self.classifier = nn.Linear(width, 2)

    def forward(self, ids, mask):
        x = self.dropout(self.norm(self.word(ids) + self.position.weight))
        for layer in self.layers:
            x = layer(x, mask)
        return self.classifier(x[:, 0])


net = {"lenet5": lenet5, "resnet20": resnet20, "text-classifier": TextClassifier}[recipe["network"]]()
weights = np.load(folder / "weights.npz")
with torch.no_grad():
    for (name, parameter), other in zip(net.named_parameters(), weights.files, strict=True):
        found = torch.from_numpy(weights[other])
        assert parameter.shape == found.shape, (name, parameter.shape, other, found.shape)
        parameter.copy_(found)

stored = np.load(folder / "data.npz")
pictures = "train.image" in stored.files


def part(name):
    """Inputs and labels; of pictures x = (byte · scale − mean) / std."""
    labels = torch.from_numpy(stored[f"{name}.label"].astype(np.int64).reshape(-1))
    if not pictures:
        return [torch.from_numpy(stored[f"{name}.{one}"]) for one in ("input_ids", "attention_mask")], labels
    mean, std = (torch.tensor(recipe[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return [(torch.from_numpy(stored[f"{name}.image"]).float() * recipe["scale"] - mean) / std], labels


def augmented(x):
    """Cut out of a frame of zeros, and mirrored: each picture by draws of its own."""
    words = dict(word.split("=") if "=" in word else (word, True) for word in recipe.get("augment", "").split())
    count, channels, height, width = x.shape
    rows, columns = torch.arange(height).expand(count, -1), torch.arange(width).expand(count, -1)
    if "flip" in words:
        columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    around = int(words.get("crop", 0))
    if around:
        x = F.pad(x, (around,) * 4)
        rows = rows + torch.randint(0, 2 * around + 1, (count, 1))
        columns = columns + torch.randint(0, 2 * around + 1, (count, 1))
    each = torch.arange(count)[:, None, None, None]
    return x[each, torch.arange(channels)[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]


inputs, labels = part("train")
test_inputs, test_labels = part("test")
layout = torch.channels_last if pictures and inputs[0].shape[1] > 1 else torch.contiguous_format
if pictures:
    net = net.to(memory_format=layout)

decay = recipe.get("weightDecay", 0.01 if recipe["optimizer"] == "adamw" else 0)
groups = [
    {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": decay},
    {"params": [p for p in net.parameters() if p.dim() < 2], "weight_decay": 0},
]
rate = recipe["learningRate"]
optimizer = {
    "sgd": lambda: torch.optim.SGD(groups, lr=rate, momentum=recipe.get("momentum", 0.9)),
    "adam": lambda: torch.optim.Adam(groups, lr=rate),
    "adamw": lambda: torch.optim.AdamW(groups, lr=rate),
}[recipe["optimizer"]]()
batch, epochs = recipe["batch"], recipe["epochs"]
steps = len(labels) // batch
total = steps * epochs
if recipe["schedule"] == "one-cycle":
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, cycle_momentum=False)
else:
    risen = round(recipe.get("warmup", 0) * total) if recipe.get("warmup", 0) < 1 else recipe["warmup"]
    cosine = lambda k: 0.5 * (1 + math.cos(math.pi * (k - risen) / (total - risen)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: (k + 1) / risen if k < risen else cosine(k))

seconds, done = 0.0, 0
checkpoint = folder / "pytorch.pt" if "--resume" in sys.argv else None
parts_of_state = {"net": net, "optimizer": optimizer, "schedule": schedule}
if checkpoint and checkpoint.exists():
    kept = torch.load(checkpoint, weights_only=False)
    before = kept.get("recipe", {})
    changed = [f"{key}: {before.get(key)}, now {recipe.get(key)}" for key in sorted({*before, *recipe}) if before.get(key) != recipe.get(key)]
    if changed:
        sys.exit(f"{checkpoint} is of another recipe ({'; '.join(changed)}). Leave out --resume, or name another folder.")
    for name, one in parts_of_state.items():
        one.load_state_dict(kept[name])
    torch.set_rng_state(kept["random"])
    seconds, done = kept["seconds"], kept["done"]
for epoch in range(done, epochs):
    began, summed = time.perf_counter(), 0.0
    order = torch.randperm(len(labels))
    net.train()
    for at in range(steps):
        chosen = order[at * batch : (at + 1) * batch]
        fed = [one[chosen] for one in inputs]
        if "augment" in recipe:
            fed = [augmented(fed[0])]
        if pictures:
            fed = [fed[0].contiguous(memory_format=layout)]
        loss = F.cross_entropy(net(*fed), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        if "clip" in recipe:
            nn.utils.clip_grad_norm_(net.parameters(), recipe["clip"])
        optimizer.step()
        schedule.step()
        summed += loss.item()
    took = time.perf_counter() - began
    seconds += took
    print(f"epoch {epoch + 1}/{epochs}  training loss {summed / steps:.4f}  {took:.1f} s", flush=True)
    if checkpoint:
        kept = {name: one.state_dict() for name, one in parts_of_state.items()}
        torch.save({**kept, "recipe": recipe, "random": torch.get_rng_state(), "seconds": seconds, "done": epoch + 1}, f"{checkpoint}.new")
        Path(f"{checkpoint}.new").replace(checkpoint)

net.eval()
with torch.no_grad():
    found = torch.cat([
        net(*(one[at : at + 100] for one in test_inputs)).argmax(1) for at in range(0, len(test_labels), 100)
    ])
print("result", round(seconds, 1), "".join(str(int(ok)) for ok in found == test_labels), flush=True)
