"""Simplifies one model with onnxslim or onnxsim and their default settings, for `npm run bench -- simplify`.

    python simplify_rivals.py onnxslim|onnxsim model.onnx out.onnx
    python simplify_rivals.py versions

The second form prints the installed versions as JSON.
"""
import importlib.metadata
import json
import sys


def find_versions():
    names = ["onnxslim", "onnxsim", "onnx", "onnxruntime", "numpy"]
    found = {entry.metadata["Name"].lower(): entry.version for entry in importlib.metadata.distributions()}
    return {name: found[name] for name in names if name in found}


def simplify(tool, path, target):
    # Each process imports only its tool, because imports count as time and memory.
    if tool == "onnxslim":
        import onnxslim

        onnxslim.slim(path, target)
    else:
        import onnx
        import onnxsim

        simplified, _ = onnxsim.simplify(path)
        onnx.save(simplified, target)


if sys.argv[1] == "versions":
    print(json.dumps(find_versions()))
else:
    simplify(*sys.argv[1:])
