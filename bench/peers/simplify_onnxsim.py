"""Nodes and bytes of models after onnxsim, beside `npm run bench -- simplify`: one JSON line for each file named.

    python simplify_onnxsim.py OUT model.onnx …

Writes OUT/<name>.onnx. Nodes are counted in the main graph and all graphs inside it, Constant nodes included.
"""
import json
import os
import sys
import time

import onnx
import onnxsim


def nodes(graph):
    count = 0
    for node in graph.node:
        count += 1
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                count += nodes(attribute.g)
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                count += sum(nodes(inner) for inner in attribute.graphs)
    return count


out = sys.argv[1]
print(json.dumps({"version": onnxsim.__version__}), flush=True)
for path in sys.argv[2:]:
    row = {"path": path}
    try:
        model = onnx.load(path)
        row["before"] = nodes(model.graph)
        start = time.perf_counter()
        try:
            simplified, row["same"] = onnxsim.simplify(model)
        except RuntimeError as error:
            # Its optimizer stumbles over some models; without it constants are folded all the same.
            row["error"] = f"without its optimizer: {error}"[:300]
            simplified, row["same"] = onnxsim.simplify(onnx.load(path), perform_optimization=False)
        row["seconds"] = time.perf_counter() - start
        row["after"] = nodes(simplified.graph)
        target = os.path.join(out, path.strip("/").replace("/", "_"))
        onnx.save(simplified, target)
        row["bytes"] = os.path.getsize(target)
        row["written"] = target
    except Exception as error:  # noqa: BLE001 - a peer's failure is a result
        row["error"] = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps(row), flush=True)
