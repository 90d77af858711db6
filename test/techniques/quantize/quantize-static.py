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


types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8, "uint16": QuantType.QUInt16, "int16": QuantType.QInt16}
# Options of `quantize`, and the same for ONNX Runtime's.
common = [{"perChannel": per_channel, "activations": kind, "bits": 8} for per_channel in [True, False] for kind in ["uint8", "int8"]]
special = [
    {"activations": "uint16"}, {"activations": "int16"}, {"bits": 4},
    {"perChannel": False, "weights": "uint8"}, {"bits": 8, "perChannel": False, "zeroPoints": True},
]
# The default. Of operators without a weight ONNX Runtime's quantizer gives up a bit of stored operands, too, which "cnn" has none of.
reduced = [{"perChannel": True}, {"perChannel": False}, {"activations": "int8"}, {"perChannel": False, "zeroPoints": True}]
folder = sys.argv[1]
cases = []
for name, options in [(name, one) for name in ["mlp", "cnn", "extremes"] for one in common] + [(name, one) for name in ["mlp", "cnn"] for one in special] + [("cnn", one) for one in reduced]:
    given = json.load(open(f"{folder}/{name}.json"))
    x = np.array(given["data"], np.float32).reshape(given["dims"])
    weight = QuantType.QInt4 if options.get("bits") == 4 else types[options.get("weights", "int8")]
    extra = {}
    if options.get("zeroPoints"):
        extra["WeightSymmetric"] = False
    quantize_static(
        f"{folder}/{name}.onnx", f"{folder}/out.onnx", Reader(x), quant_format=QuantFormat.QDQ, per_channel=options.get("perChannel", True),
        activation_type=types[options.get("activations", "uint8")], weight_type=weight, calibrate_method=CalibrationMethod.MinMax,
        reduce_range=options in reduced, extra_options=extra)
    model = onnx.load(f"{folder}/out.onnx")
    tensors = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensors[tensor.name] = [str(array.dtype), [float(v) if array.dtype == np.float32 else int(v) for v in array.ravel()]]
    cases.append({
        "network": name, "options": options, "tensors": tensors,
        "operators": dict(sorted(collections.Counter(node.op_type for node in model.graph.node).items())),
    })
print(json.dumps({"source": f"onnxruntime {onnxruntime.__version__}, quantize_static, QDQ, min-max", "cases": cases}))
