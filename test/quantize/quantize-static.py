"""What ONNX Runtime's own quantizer makes of the networks that write-networks.ts wrote: python quantize-static.py FOLDER > static.generated.json"""
import collections
import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.batches = iter([{"x": x[at : at + 16]} for at in range(0, len(x), 16)])

    def get_next(self):
        return next(self.batches, None)


folder = sys.argv[1]
cases = []
for name in ["mlp", "cnn", "extremes"]:
    given = json.load(open(f"{folder}/{name}.json"))
    x = np.array(given["data"], np.float32).reshape(given["dims"])
    for per_channel in [True, False]:
        for activations, kind in [("uint8", QuantType.QUInt8), ("int8", QuantType.QInt8)]:
            quantize_static(
                f"{folder}/{name}.onnx", f"{folder}/out.onnx", Reader(x), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                activation_type=kind, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)
            model = onnx.load(f"{folder}/out.onnx")
            tensors = {}
            for tensor in model.graph.initializer:
                array = numpy_helper.to_array(tensor)
                tensors[tensor.name] = [str(array.dtype), [float(v) if array.dtype == np.float32 else int(v) for v in array.ravel()]]
            options = onnxruntime.SessionOptions()
            options.optimized_model_filepath = f"{folder}/optimized.onnx"
            options.log_severity_level = 3
            onnxruntime.InferenceSession(f"{folder}/out.onnx", options, providers=["CPUExecutionProvider"])
            fused = collections.Counter(node.op_type for node in onnx.load(f"{folder}/optimized.onnx").graph.node)
            cases.append({
                "network": name, "perChannel": per_channel, "activations": activations, "tensors": tensors,
                "operators": dict(sorted(collections.Counter(node.op_type for node in model.graph.node).items())),
                "fused": dict(sorted(fused.items())),
            })
print(json.dumps({"source": f"onnxruntime {onnxruntime.__version__}, quantize_static, QDQ, min-max", "cases": cases}))
