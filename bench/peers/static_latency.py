"""Times a statically quantized model against onnxruntime's own quantizer, in one run.

    pip install onnxruntime==1.24.3 onnx sympy
    python static_latency.py model.onnx model.int8-static.onnx [rounds]

onnxruntime's files are made with random inputs, per tensor and per channel. Runs alternate, on one thread; figures are the median of the
ratio to the float model of the same round.
"""
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

original, ours = sys.argv[1:3]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 60


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


given = session(original).get_inputs()[0]
dims = [size if isinstance(size, int) else 1 for size in given.shape]
numbers = np.random.default_rng(1)
samples = [{given.name: numbers.normal(size=dims).astype(np.float32)} for _ in range(16)]


class Samples(CalibrationDataReader):
    def __init__(self):
        self.left = iter(samples)

    def get_next(self):
        return next(self.left, None)


with tempfile.TemporaryDirectory() as folder:
    prepared = f"{folder}/prepared.onnx"
    quant_pre_process(original, prepared, skip_symbolic_shape=True)
    paths = {"float": original, "pith": ours}
    for name, per_channel in {"per tensor": False, "per channel": True}.items():
        paths[name] = f"{folder}/{per_channel}.onnx"
        quantize_static(prepared, paths[name], Samples(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    sessions = {name: session(path) for name, path in paths.items()}
    times = {name: [] for name in sessions}
    for turn in range(rounds + 5):
        for name, one in sessions.items():
            started = time.perf_counter()
            one.run(None, samples[0])
            if turn >= 5:
                times[name].append(time.perf_counter() - started)
    speed = {name: float(np.median(np.array(times["float"]) / np.array(times[name]))) for name in times}
    best = max(speed["per tensor"], speed["per channel"])
    print({name: round(value, 2) for name, value in speed.items()}, "of the best:", f"{speed['pith'] / best:.2f}")
