"""What other tools make of a network by themselves: compress_peers.py nncf|olive model.onnx folder drop

    pip install nncf onnx onnxruntime
    pip install olive-ai onnxruntime requests (which olive-ai 0.13 imports and does not name)

Reads folder/calibrate.npz and folder/search.npz, whose arrays are `<sample>/<input>` and `<sample>/label`. NNCF quantizes as long as no more than the drop is lost on the samples that Pith searches on;
Olive's commands take no samples of a local file. Writes folder/<tool>.onnx and prints, as JSON, the version, the files, the seconds that each took, and what failed.
"""
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

import onnx

from samples import samples

tool, original, folder, drop = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])


def inputs(sample):
    return {name: values for name, values in sample.items() if name != "label"}


def by_nncf(out, transformer):
    import nncf
    import onnxruntime as ort

    def right(model, data):
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        rows = [float(session.run(None, inputs(one))[0].argmax() == one["label"].item()) for one in data]
        return sum(rows) / len(rows), rows

    data, search = nncf.Dataset(samples(f"{folder}/calibrate.npz"), inputs), nncf.Dataset(samples(f"{folder}/search.npz"), inputs)
    kind = nncf.ModelType.TRANSFORMER if transformer else None
    onnx.save(nncf.quantize_with_accuracy_control(onnx.load(original), data, search, right, max_drop=drop, model_type=kind), out)


def by_olive(out, command, precision):
    made = pathlib.Path(folder, f"{command}-{precision}")
    olive = [str(pathlib.Path(sys.executable).parent / "olive"), command, "-m", str(pathlib.Path(original).resolve()), "--precision", precision]
    device = ["--device", "cpu", "--provider", "CPUExecutionProvider", "--disable_telemetry", "-o", str(made)]
    found = subprocess.run(olive + device, capture_output=True, text=True, cwd=folder)
    files = sorted(made.rglob("*.onnx"))
    if not files:
        said = [line for line in (found.stdout + found.stderr).splitlines() if line.strip()]
        raise RuntimeError(said[-1] if said else "no file")
    onnx.save(onnx.load(files[0]), out)


runs = {
    "nncf": {"NNCF, accuracy control": lambda out: by_nncf(out, False), "NNCF, accuracy control, transformer": lambda out: by_nncf(out, True)},
    "olive": {
        f"olive {command} {precision}": lambda out, given=(command, precision): by_olive(out, *given)
        for command in ("auto-opt", "optimize")
        for precision in ("int8", "int4")
    },
}
files, failed = [], {}
stdout = os.dup(1)
os.dup2(2, 1)
for name, run in runs[tool].items():
    out, started = f"{folder}/{name}.onnx", time.perf_counter()
    try:
        run(out)
        files.append({"tool": name, "path": out, "seconds": time.perf_counter() - started})
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {str(error)[:300]}"
sys.stdout.flush()
os.dup2(stdout, 1)
version = importlib.metadata.version({"nncf": "nncf", "olive": "olive-ai"}[tool])
print(json.dumps({"version": f"{tool} {version}", "files": files, "failed": failed}))
