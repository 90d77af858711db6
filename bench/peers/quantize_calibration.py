"""What onnxruntime's quantizer takes with ranges by a method: quantize_calibration.py model.onnx calibration.npz out.onnx Percentile|Entropy

Prints, as JSON, the seconds that passed and those of the processor, and the peak of memory in bytes over what imports and samples take."""
import json
import resource
import sys
import time

import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from samples import samples

model, calibration, out, method = sys.argv[1:]
feeds = samples(calibration)
names = [given.name for given in onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()]
before = resource.getrusage(resource.RUSAGE_SELF)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter(dict(zip(names, sample.values())) for sample in feeds)

    def get_next(self):
        return next(self.left, None)


started = time.perf_counter()
quant_pre_process(model, out, skip_symbolic_shape=True)
quantize_static(out, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod[method])
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "version": onnxruntime.__version__,
    "seconds": time.perf_counter() - started,
    "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    "peak": 1024 * (after.ru_maxrss - before.ru_maxrss),
}))
