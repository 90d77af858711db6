"""A model folder whose variants do not all work: published_folder.py folder out

    pip install onnxruntime onnx sympy onnxconverter-common

Reads a folder of transformers.js with a BERT classifier. Writes its model with the same function and two traits of large
published ones: features of one attention head are far larger than the others (LLM.int8, arXiv 2208.07339, section 4), and the mask is cast to float32. Then makes the variants by
the quantizers that come with onnxruntime, with their default settings. Prints the versions and the files as JSON.
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
from onnxconverter_common.float16 import convert_float_to_float16

# Features of the head that are scaled, and their factor.
features, factor = slice(0, 32), 3000.0


def scale_features(model):
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


def main(folder, out):
    os.makedirs(f"{out}/onnx", exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".json"):
            shutil.copy(f"{folder}/{name}", out)
    original = f"{out}/onnx/model.onnx"
    model = onnx.load(f"{folder}/onnx/model.onnx")
    scale_features(model)
    cast_mask(model)
    onnx.checker.check_model(model)
    onnx.save(model, original)

    quantize_dynamic(original, f"{out}/onnx/model_quantized.onnx", weight_type=QuantType.QInt8)
    quantizer = MatMulNBitsQuantizer(onnx.load(original), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(f"{out}/onnx/model_q4.onnx")
    onnx.save(convert_float_to_float16(onnx.load(original), keep_io_types=True), f"{out}/onnx/model_fp16.onnx")
    onnx.save(convert_float_to_float16(onnx.load(f"{out}/onnx/model_q4.onnx"), keep_io_types=True), f"{out}/onnx/model_q4f16.onnx")
    files = {name: os.path.getsize(f"{out}/onnx/{name}") for name in sorted(os.listdir(f"{out}/onnx"))}
    print(json.dumps({"onnxruntime": ort.__version__, "onnx": onnx.__version__, "files": files}))


main(*sys.argv[1:])
