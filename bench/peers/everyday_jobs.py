"""Everyday jobs with the usual scripts, for processor times: everyday_jobs.py static|dynamic|simplify|step ...

    pip install onnxruntime onnx sympy pillow numpy onnxslim torch

    static MODEL OUT cifar10|imagenet|images FOLDER CALIBRATION TEST   quant_pre_process, quantize_static (QDQ, per channel), then both models on TEST images
    dynamic OUT MODELS...                                              quantize_dynamic, and both models on one random input
    simplify MODEL OUT                                                 onnxslim

Prints the versions and the figures as JSON.
"""
import csv
import gzip
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort


def session(path):
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


MEANS, DEVIATIONS = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def cifar(folder, name, count):
    rows = np.frombuffer(gzip.open(f"{folder}/{name}").read(), np.uint8).reshape(-1, 3073)[:count]
    images = rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    return (images - MEANS[:, None, None]) / DEVIATIONS[:, None, None], rows[:, 0]


def imagenet(folder, first, count):
    from PIL import Image
    images, labels = [], []
    for row in list(csv.DictReader(open(f"{folder}/labels.csv")))[first:first + count]:
        left = (256 - 224) // 2
        image = Image.open(f"{folder}/{row['file']}").convert("RGB").crop((left, left, left + 224, left + 224))
        images.append((np.asarray(image, np.float32).transpose(2, 0, 1) - 127) / 128)
        labels.append(int(row["label"]))
    return np.stack(images), np.array(labels)


def static(model, out, kind, folder, calibration, test):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    calibration, test = int(calibration), int(test)
    if kind == "cifar10":
        samples, (images, labels) = cifar(folder, "data_batch_1.bin.gz", calibration)[0], cifar(folder, "test_batch_first1000.bin.gz", test)
    else:
        (samples, _), (images, labels) = imagenet(folder, 0, calibration), imagenet(folder, calibration, test)
    name = session(model).get_inputs()[0].name

    class Reader(CalibrationDataReader):
        left = iter({name: samples[index:index + 1]} for index in range(len(samples)))

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as scratch:
        quant_pre_process(model, f"{scratch}/prepared.onnx", skip_symbolic_shape=True)
        quantize_static(f"{scratch}/prepared.onnx", out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    outputs = []
    for path in (model, out):
        run = session(path)
        outputs.append(np.concatenate([run.run(None, {name: images[at:at + 16]})[0] for at in range(0, len(images), 16)]))
    before, after = [scores.argmax(1) for scores in outputs]
    return {"before": float((before == labels).mean()), "after": float((after == labels).mean()), "same": float((before == after).mean()),
            "bytes": Path(out).stat().st_size}


def inputs_of(run):
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
    generator = np.random.default_rng(0)
    feeds = {}
    for given in run.get_inputs():
        dims = [dim if isinstance(dim, int) else 1 for dim in given.shape]
        values = generator.standard_normal(dims) if given.type == "tensor(float)" else np.ones(dims)
        feeds[given.name] = values.astype(types[given.type])
    return feeds


def dynamic(out, *models):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    compared = 0
    for model in models:
        quantize_dynamic(model, out, per_channel=True, weight_type=QuantType.QInt8)
        runs = [session(path) for path in (model, out)]
        feeds = inputs_of(runs[0])
        try:
            for run in runs:
                run.run(None, feeds)
            compared += 1
        except Exception:
            # Some models need inputs of other sizes.
            pass
    return {"models": len(models), "compared": compared}


def simplify(model, out):
    import onnxslim

    onnx.save(onnxslim.slim(model), out)
    return {"nodes": len(onnx.load(out).graph.node)}


job, *words = sys.argv[1:]
figures = {"static": static, "dynamic": dynamic, "simplify": simplify}[job](*words)
print(json.dumps({"onnxruntime": ort.__version__, **figures}))
