"""GPTQ of one layer in PyTorch on the CPU, as its authors wrote it: gptq_layer.py size samples

Act-order and static groups: 4 bits, a scale for each output, blocks of 128 columns, 1 % damping, float32. Prints, as JSON, the seconds that passed, those of the processor, and the
error over that of rounding to the nearest code."""
import json
import resource
import sys
import time

import torch

size, count = map(int, sys.argv[1:])
torch.manual_seed(0)
weight = torch.randn(size, size)
inputs = torch.randn(count, size) + 2 * torch.randn(count, 1)


def processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def gptq(weight, inputs, block=128, damping=0.01):
    scale = (weight.abs().amax(1) / 7.5).clamp_min(1e-12)
    hessian = inputs.T @ inputs
    order = torch.argsort(hessian.diagonal(), descending=True)
    w, hessian = weight[:, order].clone(), hessian[order][:, order]
    hessian.diagonal().add_(damping * hessian.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    codes = torch.empty_like(w)
    for start in range(0, w.shape[1], block):
        end = min(start + block, w.shape[1])
        errors = torch.empty(w.shape[0], end - start)
        for column in range(start, end):
            code = torch.clamp(torch.round(w[:, column] / scale), -8, 7)
            error = (w[:, column] - code * scale) / upper[column, column]
            w[:, column:end] -= error[:, None] * upper[column, column:end][None]
            codes[:, column], errors[:, column - start] = code, error
        w[:, end:] -= errors @ upper[start:end, end:]
    return codes[:, torch.argsort(order)] * scale[:, None]


started, before = time.perf_counter(), processor()
rounded = gptq(weight, inputs)
seconds, used = time.perf_counter() - started, processor() - before
scale = weight.abs().amax(1, keepdim=True) / 7.5
nearest = torch.clamp(torch.round(weight / scale), -8, 7) * scale
error = lambda found: float((inputs @ (found - weight).T).square().sum())
print(json.dumps({"version": torch.__version__, "seconds": seconds, "processor": used, "ratio": error(rounded) / error(nearest)}))
