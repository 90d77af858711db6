"""A model folder whose variants do not all work: published_folder.py folder out

    pip install onnxruntime onnx onnx_ir sympy onnxconverter-common

Reads a folder of transformers.js with a BERT classifier. Writes its model with the same function and two traits: features of one attention head are
far larger, and the mask is cast to float32. Then makes the variants by quantizers of onnxruntime and by onnxconverter-common. Variants with other
factors and options are in the folder `other`. Prints the versions and the files as JSON.
"""
import json
import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxconverter_common import float16 as converter_common
from onnxruntime.transformers import float16 as converter_ort

# Features of the head that are scaled, and the factor of the folder.
features, folder_factor = slice(0, 32), 3000.0
# Factors with which only q8 is made.
other_factors = [1, 20, 100, 300]


def scale_features(model, factor):
    """Multiplies columns of the values' weights, and divides the rows of the layer that reads them."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}

    def change(name, edit):
        array = numpy_helper.to_array(weights[name]).copy()
        edit(array)
        weights[name].CopyFrom(numpy_helper.from_array(array, name))

    def multiply(array):
        array[..., features] *= factor

    def divide(array):
        array[features] /= factor

    for node in [node for node in model.graph.node if node.op_type == "Add"]:
        bias = next((name for name in node.input if name.endswith("attention.self.value.bias")), None)
        if bias is not None:
            (product,) = [producers[name] for name in node.input if name in producers]
            change(product.input[1], multiply)
            change(bias, multiply)
        bias = next((name for name in node.input if name.endswith("attention.output.dense.bias")), None)
        if bias is not None:
            (product,) = [producers[name] for name in node.input if name in producers]
            change(product.input[1], divide)


def cast_mask(model):
    """Replaces Where(mask, 0, minimum) by (1 - Cast(mask)) * minimum."""
    nodes = model.graph.node
    place, where = next((place, node) for place, node in enumerate(nodes) if node.op_type == "Where")
    output = where.output[0]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "mask_one"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-10000), "mask_minimum"))
    nodes.remove(where)
    for offset, node in enumerate([
        helper.make_node("Cast", [where.input[0]], ["mask_float"], "mask_cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["mask_one", "mask_float"], ["mask_inverse"], "mask_sub"),
        helper.make_node("Mul", ["mask_inverse", "mask_minimum"], [output], "mask_mul"),
    ]):
        nodes.insert(place + offset, node)


def quantize_8(original, path):
    quantize_dynamic(original, path, weight_type=QuantType.QInt8)


def quantize_4(original, path, **options):
    quantizer = MatMulNBitsQuantizer(onnx.load(original), block_size=32, is_symmetric=True, **options)
    quantizer.process()
    quantizer.model.save_model_to_file(path)


def convert_16(convert, source, path):
    onnx.save(convert(onnx.load(source), keep_io_types=True), path)


def main(folder, out):
    for name in ["onnx", "other"]:
        os.makedirs(f"{out}/{name}", exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".json"):
            shutil.copy(f"{folder}/{name}", out)
    original, four = f"{out}/onnx/model.onnx", f"{out}/onnx/model_q4.onnx"
    for each in [*other_factors, folder_factor]:
        model = onnx.load(f"{folder}/onnx/model.onnx")
        scale_features(model, each)
        cast_mask(model)
        onnx.checker.check_model(model)
        # All factors compute the same function, so the last one is the original.
        onnx.save(model, original)
        quantize_8(original, f"{out}/onnx/model_quantized.onnx" if each == folder_factor else f"{out}/other/q8, factor {each}.onnx")

    quantize_4(original, four)
    quantize_4(original, f"{out}/other/q4, with tables.onnx", op_types_to_quantize=("MatMul", "Gather"))
    convert_16(converter_common.convert_float_to_float16, original, f"{out}/onnx/model_fp16.onnx")
    convert_16(converter_common.convert_float_to_float16, four, f"{out}/onnx/model_q4f16.onnx")
    convert_16(converter_ort.convert_float_to_float16, original, f"{out}/other/fp16, converter of onnxruntime.onnx")
    convert_16(converter_ort.convert_float_to_float16, four, f"{out}/other/q4f16, converter of onnxruntime.onnx")
    files = {name: os.path.getsize(f"{out}/onnx/{name}") for name in sorted(os.listdir(f"{out}/onnx"))}
    print(json.dumps({"onnxruntime": ort.__version__, "onnx": onnx.__version__, "files": files}))


main(*sys.argv[1:])
