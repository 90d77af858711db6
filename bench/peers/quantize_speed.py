"""What onnxruntime's quantizers take of a model with its weights in a file beside it: quantize_speed.py model out dynamic|q4.

Prints the seconds that the processor worked, those that passed, without the imports, and the peak of the process's memory in bytes."""
import json
import resource
import sys
import time

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

model, out, scheme = sys.argv[1:]
begun, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
if scheme == "dynamic":
    quantize_dynamic(model, out, per_channel=True, weight_type=QuantType.QInt8, use_external_data_format=True)
else:
    quantizer = MatMulNBitsQuantizer(onnx.load(model), block_size=32, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(out, use_external_data_format=True)
ended = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "version": onnxruntime.__version__,
    "processor": ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime,
    "seconds": time.perf_counter() - started,
    "peak": 1024 * ended.ru_maxrss,
}))
