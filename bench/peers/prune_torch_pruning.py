"""Half of the channels by Torch-Pruning, beside `npm run bench -- prune peers`: one JSON line for one architecture of torchvision.

    python prune_torch_pruning.py OUT NAME

Weights are random, of a seed. Writes OUT/NAME.script.onnx and OUT/NAME.dynamo.onnx, the original by both exporters of PyTorch with any number of
samples, and OUT/NAME.theirs.onnx, what Torch-Pruning leaves, by the older one. Seconds are of the processor on one thread: the graph of
dependencies, for which Torch-Pruning runs the network, and one step; a small network went through both before.
"""
import copy
import json
import os
import signal
import sys
import time
import warnings

import torch
import torch_pruning
import torchvision

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
# One operator for a whole attention, which the older exporter does not have.
torch.backends.mha.set_fastpath_enabled(False)

out, name = sys.argv[1:]
inception = {"aux_logits": False, "init_weights": False}
given = {"googlenet": inception, "inception_v3": inception}


def classifier(model):
    """The layer whose outputs are the classes."""
    return [layer for layer in model.modules() if getattr(layer, "out_channels", getattr(layer, "out_features", 0)) == 1000][-1]


def prune(model, example):
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        global_pruning=False,
        ignored_layers=[classifier(model)],
    )
    pruner.step()


def export(model, example, kind):
    path = os.path.join(out, f"{name}.{kind}.onnx")
    common = {"input_names": ["x"], "output_names": ["y"], "external_data": False}
    if kind == "dynamo":
        batch = {0: torch.export.Dim("batch")}
        torch.onnx.export(model, (example,), path, dynamo=True, dynamic_shapes=(batch,), verbose=False, **common)
    else:
        axes = {"x": {0: "batch"}, "y": {0: "batch"}}
        torch.onnx.export(model, (example,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **common)


def stop(*_):
    raise TimeoutError("no end after a minute of the processor")


def said(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:200]


torch.manual_seed(0)
model = torchvision.models.get_model(name, weights=None, **given.get(name, {})).eval()
size = 299 if name == "inception_v3" else 224
# Two samples: an axis of one is taken for one that never grows.
example = torch.randn(2, 3, size, size)
row = {"torch": torch.__version__, "torchvision": torchvision.__version__, "version": torch_pruning.__version__, "failed": {}}
for kind in ["script", "dynamo"]:
    try:
        with torch.no_grad():
            export(copy.deepcopy(model), example, kind)
    except Exception as error:
        row["failed"][kind] = said(error)

small = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 1000))
prune(small, torch.randn(1, 3, 8, 8))
try:
    # Of Swin it lists groups until memory ends.
    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    start = time.process_time()
    prune(model, example[:1])
    row["seconds"] = time.process_time() - start
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if hasattr(model, "hidden_dim"):
        # A number beside the weights, as Torch-Pruning's own tests set it.
        model.hidden_dim = model.conv_proj.out_channels
    with torch.no_grad():
        export(model, example, "theirs")
except Exception as error:
    row["failed"]["theirs"] = said(error)
print(json.dumps(row))
