"""Everyday jobs with the usual scripts, for processor times: everyday_jobs.py static|dynamic|simplify|folder ...

    pip install onnxruntime onnx onnx_ir sympy pillow numpy onnxslim tokenizers

    static MODEL OUT cifar10|imagenet|images FOLDER CALIBRATION TEST   quant_pre_process, quantize_static (QDQ, per channel), then both models on TEST images
    dynamic OUT MODELS...                                              quantize_dynamic, and both models on one random input
    simplify MODEL OUT                                                 onnxslim
    folder FOLDER OUT SENTENCES                                        quantize_dynamic, MatMulNBitsQuantizer and convert_float_to_float16, then all
                                                                       four models on the labeled sentences

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


def folder(source, out, sentences):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from tokenizers import Tokenizer

    original, out = f"{source}/onnx/model.onnx", Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = {"fp32": original, **{name: str(out / f"model_{name}.onnx") for name in ("quantized", "q4", "fp16")}}
    quantize_dynamic(original, paths["quantized"], per_channel=True, weight_type=QuantType.QInt8)
    quantizer = MatMulNBitsQuantizer(onnx.load(original), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(paths["q4"])
    onnx.save(convert_float_to_float16(onnx.load(original), keep_io_types=True), paths["fp16"])

    rows = [line.rsplit("\t", 1) for line in Path(sentences).read_text().splitlines()]
    labels = np.array([int(label) for _, label in rows])
    tokenizer = Tokenizer.from_file(f"{source}/tokenizer.json")
    tokenizer.enable_padding()
    figures = {}
    for name, path in paths.items():
        run = session(path)
        names = [given.name for given in run.get_inputs()]
        scores = []
        for at in range(0, len(rows), 32):
            encoded = tokenizer.encode_batch([text for text, _ in rows[at:at + 32]])
            columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
            scores.append(run.run(None, {key: np.array([getattr(one, columns[key]) for one in encoded]) for key in names})[0])
        figures[name] = {"accuracy": float((np.concatenate(scores).argmax(1) == labels).mean()), "bytes": Path(path).stat().st_size}
    return figures


job, *words = sys.argv[1:]
figures = {"static": static, "dynamic": dynamic, "simplify": simplify, "folder": folder}[job](*words)
print(json.dumps({"onnxruntime": ort.__version__, **figures}))
