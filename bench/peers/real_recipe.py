"""Files of the usual recipes in Python: real_recipe.py dynamic|static|nbits|float16|nbits-float16 CALIBRATION.npz|- MODEL=OUT…

    pip install onnxruntime onnx onnxconverter-common sympy

The settings are those of the conversion scripts of transformers.js, with which most folders on the Hub were made, and of onnxruntime's guides. dynamic:
quantize_dynamic, also in subgraphs, uint8 weights if the model has a convolution, otherwise int8; after quant_pre_process if it fails without. static:
quant_pre_process, then quantize_static with QDQ, per channel (in opset 13 or later), uint8 activations and int8 weights. nbits:
MatMulNBitsQuantizer, 4 bits, blocks of 32, symmetric. float16: the converter of onnxconverter-common, inputs and outputs in float32. Prints versions as JSON.
"""
import json
import sys
import tempfile
from pathlib import Path

import onnx.version_converter
import onnxruntime as ort

recipe, calibration, *pairs = sys.argv[1:]


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def prepare(model, scratch):
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(model, f"{scratch}/prepared.onnx", skip_symbolic_shape=True)
    return f"{scratch}/prepared.onnx"


def dynamic(model, out):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    unsigned = "Conv" in set(operators(onnx.load(model).graph))
    quantize = lambda source: quantize_dynamic(source, out, weight_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
                                               extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True})
    try:
        quantize(model)
    except ValueError:  # Weights in Constant nodes, which preparing makes initializers.
        with tempfile.TemporaryDirectory() as scratch:
            quantize(prepare(model, scratch))


def static(model, out):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from samples import samples

    class Reader(CalibrationDataReader):
        def __init__(self, feeds):
            self.left = iter(feeds)

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as scratch:
        loaded = onnx.load(model)
        if max(each.version for each in loaded.opset_import if each.domain == "") < 13:
            model = f"{scratch}/converted.onnx"
            onnx.save(onnx.version_converter.convert_version(loaded, 13), model)
        quantize_static(prepare(model, scratch), out, Reader(samples(calibration)), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def nbits(model, out):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(model), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(out, use_external_data_format=False)


def float16(model, out):
    from onnxconverter_common import float16 as converter

    onnx.save(converter.convert_float_to_float16(onnx.load(model), keep_io_types=True), out)


def nbits_float16(model, out):
    nbits(model, out)
    float16(out, out)


recipes = {"dynamic": dynamic, "static": static, "nbits": nbits, "float16": float16, "nbits-float16": nbits_float16}
for pair in pairs:
    model, out = pair.split("=", 1)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    recipes[recipe](model, out)
print(json.dumps({"onnxruntime": ort.__version__, "onnx": onnx.__version__}))
