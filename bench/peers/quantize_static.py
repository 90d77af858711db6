"""Files of other quantizers, calibrated on given samples: quantize_static.py model.onnx folder draws

    pip install onnxruntime onnx sympy nncf

Reads folder/calibration-<draw>.npz, whose arrays are `<sample>/<input>`, and writes folder/<tool>-<draw>.onnx. onnxruntime's quantizer as its guide recommends it: after
quant_pre_process, in the QDQ format, per channel, uint8 activations and int8 weights, with `reduce_range` and without. Prints, as JSON, the versions, the files, the seconds that each took, and
what failed.
"""
import json
import logging
import sys
import tempfile
import time

import nncf
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from samples import samples

logging.disable(logging.WARNING)
nncf.set_log_level(logging.ERROR)
original, folder, draws = sys.argv[1], sys.argv[2], int(sys.argv[3])


def prepared(path, scratch):
    # quant_pre_process leaves batch normalization of some models unfolded: the runtime folds it first.
    folding = ort.SessionOptions()
    folding.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folding.optimized_model_filepath = f"{scratch}/folded.onnx"
    folding.log_severity_level = 3
    session = ort.InferenceSession(path, folding, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantSharing"])
    quant_pre_process(f"{scratch}/folded.onnx", f"{scratch}/prepared.onnx", skip_symbolic_shape=True)
    return f"{scratch}/prepared.onnx", [given.name for given in session.get_inputs()]


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.left = iter(feeds)

    def get_next(self):
        return next(self.left, None)


def by_onnxruntime(reduce_range):
    def run(model, out, feeds):
        quantize_static(model, out, Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=reduce_range,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return run


def by_nncf(**kind):
    def run(model, out, feeds):
        quantized = nncf.quantize(onnx.load(model), nncf.Dataset(feeds), subset_size=len(feeds), **kind)
        onnx.save(quantized, out)
    return run


tools = {
    "onnxruntime": by_onnxruntime(False),
    "onnxruntime-reduced": by_onnxruntime(True),
    "nncf": by_nncf(),
    "nncf-transformer": by_nncf(model_type=nncf.ModelType.TRANSFORMER),
}
files, failed = [], {}
stdout, sys.stdout = sys.stdout, sys.stderr
with tempfile.TemporaryDirectory() as scratch:
    model, names = prepared(original, scratch)
    for draw in range(draws):
        feeds = samples(f"{folder}/calibration-{draw}.npz")
        feeds = [dict(zip(names, given.values())) if len(given) == 1 else {name: given[name] for name in names} for given in feeds]
        for tool, run in tools.items():
            out = f"{folder}/{tool}-{draw}.onnx"
            started = time.perf_counter()
            try:
                run(model, out, feeds)
                files.append({"tool": tool, "draw": draw, "path": out, "seconds": time.perf_counter() - started})
            except Exception as error:
                failed[tool] = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
sys.stdout = stdout
print(json.dumps({"version": f"onnxruntime {ort.__version__}, NNCF {nncf.__version__}", "files": files, "failed": failed}))
