"""A statically quantized model beside those of onnxruntime's quantizer and NNCF, calibrated on the same samples: one line of JSON.

    pip install onnxruntime onnx sympy nncf
    python static_latency.py model.onnx model.int8-static.onnx calibration.npz test.npz [rounds]

The files of samples hold `<sample>/<input>` and `<sample>/label`; `time/<input>` is what is timed. Runs alternate on one thread, whose own
time on the processor is taken, in the fastest of three sessions of each file: where its memory lies changes times by 6 %. A figure is the
median of the ratio to the float model of the same round, with the interval of order statistics.
Files of the other tools are written beside the quantized model, whose name ends in ".pith.onnx".
"""
import collections
import json
import logging
import os
import random
import sys
import tempfile
import time

import nncf
import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

logging.disable(logging.WARNING)
original, ours, calibration, test = sys.argv[1:5]
rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 100


def beside(tool):
    return f"{ours.removesuffix('.pith.onnx')}.{tool}.onnx"


def session(path, optimized=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized is not None:
        options.optimized_model_filepath = optimized
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def samples(path):
    found = collections.defaultdict(dict)
    arrays = np.load(path)
    for key in arrays.files:
        sample, name = key.split("/", 1)
        found[sample][name] = arrays[key]
    timed = found.pop("time")
    return list(found.values()), timed


feeds = [given.name for given in session(original).get_inputs()]


def fed(sample):
    given = {name: value for name, value in sample.items() if name != "label"}
    return dict(zip(feeds, given.values())) if len(given) == 1 else {name: given[name] for name in feeds}


calibrating, _ = samples(calibration)
testing, timed = samples(test)


class Samples(CalibrationDataReader):
    def __init__(self):
        self.left = iter(calibrating)

    def get_next(self):
        sample = next(self.left, None)
        return None if sample is None else fed(sample)


def probabilities(output):
    scores = output[0].astype(np.float64)
    if abs(scores.sum() - 1) < 1e-3 and scores.min() >= 0:
        return scores
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


with tempfile.TemporaryDirectory() as folder:
    prepared = f"{folder}/prepared.onnx"
    # quant_pre_process leaves batch normalization of some models unfolded: the runtime folds it first.
    folding = ort.SessionOptions()
    folding.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folding.optimized_model_filepath = f"{folder}/folded.onnx"
    folding.log_severity_level = 3
    ort.InferenceSession(original, folding, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantSharing"])
    quant_pre_process(f"{folder}/folded.onnx", prepared, skip_symbolic_shape=True)
    paths = {"float32": original, "pith": ours}
    for name, per_channel in {"onnxruntime, per tensor": False, "onnxruntime, per channel": True}.items():
        paths[name] = beside(name.replace("onnxruntime, ", "").replace(" ", "-"))
        quantize_static(prepared, paths[name], Samples(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    nncf.set_log_level(logging.ERROR)
    kind = {"model_type": nncf.ModelType.TRANSFORMER} if len(feeds) > 1 else {}
    stdout, sys.stdout = sys.stdout, sys.stderr
    quantized = nncf.quantize(onnx.load(prepared), nncf.Dataset(calibrating, fed), subset_size=len(calibrating), **kind)
    sys.stdout = stdout
    paths["nncf"] = beside("nncf")
    onnx.save(quantized, paths["nncf"])

    rows = {}
    sessions = {}
    for name, path in paths.items():
        sessions[name] = [session(path, f"{folder}/optimized.onnx"), session(path), session(path)]
        graph = onnx.load(f"{folder}/optimized.onnx", load_external_data=False).graph
        operators = collections.Counter(node.op_type for node in graph.node)
        rows[name] = {"name": name, "bytes": os.path.getsize(path), "operators": dict(operators)}
    load = [os.getloadavg()[0]]
    times = {name: [] for name in sessions}
    order = list(sessions)
    shuffled = random.Random(1)
    given = fed(timed)
    for turn in range(rounds + 5):
        # Not in turns: each would run on the caches that the same other one has filled.
        shuffled.shuffle(order)
        for name in order:
            taken = []
            for one in sessions[name]:
                started = time.thread_time()
                one.run(None, given)
                taken.append(time.thread_time() - started)
            if turn >= 5:
                times[name].append(min(taken))
    load.append(os.getloadavg()[0])
    float_times = np.array(times["float32"])
    for name, row in rows.items():
        ratios = np.sort(float_times / np.array(times[name]))
        reach = 0.98 * np.sqrt(len(ratios))
        low, high = int(max(0, len(ratios) / 2 - reach)), int(min(len(ratios) - 1, len(ratios) / 2 + reach))
        row["speed"] = [float(np.median(ratios)), float(ratios[low]), float(ratios[high])]
        row["milliseconds"] = 1000 * float(np.median(times[name]))

    answers = {name: [probabilities(one[0].run(None, fed(sample))[0]) for sample in testing] for name, one in sessions.items()}
    for name, row in rows.items():
        pairs = list(zip(answers["float32"], answers[name]))
        labels = [int(np.ravel(sample["label"])[0]) for sample in testing if "label" in sample]
        row["right"] = float(np.mean([answer.argmax() == label for answer, label in zip(answers[name], labels)])) if labels else 0.0
        row["agree"] = float(np.mean([a.argmax() == b.argmax() for a, b in pairs]))
        row["divergence"] = float(np.mean([np.sum(a * (np.log(a + 1e-12) - np.log(b + 1e-12))) for a, b in pairs]))
    spread = float(np.percentile(float_times, 90) / np.percentile(float_times, 10))
    print(json.dumps({"version": f"onnxruntime {ort.__version__}, nncf {nncf.__version__}", "load": load, "spread": spread,
                      "rows": list(rows.values())}))
