"""Limits that onnxruntime's entropy calibration finds for histograms of sizes, mirrored: the golden numbers of test/quantize/range-methods.test.ts.

    pip install onnxruntime onnx sympy
    python entropy_ranges.py

128 levels for sizes are 256 for both signs.
"""
import json

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

parts = 2048
shapes = {
    "normal": lambda u: np.exp(-((8 * u) ** 2) / 2),
    "exponential": lambda u: np.exp(-12 * u),
    "normal with a tail": lambda u: np.exp(-((20 * u) ** 2) / 2) + 1e-4,
}
found = {}
for name, shape in shapes.items():
    sizes = np.round(1e6 * shape((np.arange(parts) + 0.5) / parts)).astype(np.int64)
    both = np.concatenate([sizes[::-1], sizes])
    collector = HistogramCollector("entropy", True, 2 * parts, 256, None, "same")
    edges = np.linspace(-1, 1, 2 * parts + 1, dtype=np.float32)
    low, high = collector.get_entropy_threshold((both, edges, np.float32(-1), np.float32(1)), 256)
    found[name] = float(high)
print(json.dumps(found))
