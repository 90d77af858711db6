"""PyTorch's side of `npm run bench -- math --gptq`: GPTQ as its authors' code does it (act-order, static groups), 4 bits in blocks of 32, float32.

gptq_torch.py ROWS COLUMNS WEIGHT GRAM SCALES OUT   the files are float64, scales rows × blocks; OUT is what the weight becomes. For each line of the standard
                                                    input it prints the seconds of the decomposition and of the whole."""
import json
import sys
import time

import numpy
import torch

torch.set_num_threads(2)
rows, columns = int(sys.argv[1]), int(sys.argv[2])
weight, gram, scales = (torch.from_numpy(numpy.fromfile(path)).float() for path in sys.argv[3:6])
weight, gram = weight.reshape(rows, columns), gram.reshape(columns, columns)
scales = scales.reshape(rows, -1).repeat_interleave(32, 1)


def gptq(block=128):
    started = time.perf_counter()
    order = torch.argsort(torch.diag(gram), descending=True, stable=True)
    left, scale, hessian = weight[:, order], scales[:, order], gram[order][:, order]
    hessian += 0.01 * torch.diag(hessian).mean() * torch.eye(columns)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    decomposed = time.perf_counter() - started
    for start in range(0, columns, block):
        end = min(start + block, columns)
        own, errors, factor = left[:, start:end], torch.zeros(rows, end - start), upper[start:end, start:end]
        for at in range(end - start):
            step = scale[:, start + at]
            value = own[:, at].clone()
            own[:, at] = torch.clamp(torch.round(value / step), -8, 7) * step
            errors[:, at] = (value - own[:, at]) / factor[at, at]
            own[:, at + 1 :] -= errors[:, at : at + 1] @ factor[at : at + 1, at + 1 :]
        left[:, end:] -= errors @ upper[start:end, end:]
    return left[:, torch.argsort(order)], decomposed, time.perf_counter() - started


print(json.dumps({"torch": torch.__version__}), flush=True)
for _ in sys.stdin:
    result, decomposed, seconds = gptq()
    result.double().numpy().tofile(sys.argv[6])
    print(json.dumps({"decomposed": decomposed, "seconds": seconds}), flush=True)
