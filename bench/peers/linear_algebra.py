"""NumPy's and SciPy's side of `npm run bench -- math`.

linear_algebra.py ranks FILE            prints numpy.linalg.matrix_rank of each matrix of the file, and of which a singular value lies within 4 times of the
                                        tolerance, where rounding may decide. The file: a line of JSON (type, rows, columns of each), then float64.
linear_algebra.py times ROWS COLUMNS FILE…   for each line "task file" of the standard input prints the seconds that it took, and what it found."""
import json
import sys
import time

import numpy
import scipy
import scipy.linalg


def ranks(path):
    with open(path, "rb") as file:
        header = json.loads(file.readline())
        found, close = [], []
        for index, one in enumerate(header):
            data = numpy.frombuffer(file.read(8 * one["rows"] * one["columns"])).reshape(one["rows"], one["columns"])
            exact = numpy.linalg.svd(data, compute_uv=False)
            tolerance = exact[0] * max(data.shape) * numpy.finfo(one["type"]).eps
            if ((exact >= tolerance / 4) & (exact <= 4 * tolerance) & (exact > 0)).any():
                close.append(index)
            found.append(int(numpy.linalg.matrix_rank(data.astype(one["type"]))))
    print(json.dumps({"numpy": numpy.__version__, "ranks": found, "near": close}))


TASKS = {
    "svd": lambda a: scipy.linalg.svd(a, full_matrices=False)[1],
    "numpy": lambda a: numpy.linalg.svd(a, full_matrices=False)[1],
    "values": lambda a: scipy.linalg.svdvals(a),
    "qr": lambda a: scipy.linalg.qr(a, mode="economic")[1],
    "cholesky": lambda a: scipy.linalg.cholesky(a, lower=True),
}


def times(files):
    matrices = [numpy.fromfile(path).reshape(int(rows), int(columns)) for rows, columns, path in zip(files[::3], files[1::3], files[2::3])]
    print(json.dumps({"numpy": numpy.__version__, "scipy": scipy.__version__}), flush=True)
    for line in sys.stdin:
        task, file = line.split()
        started = time.perf_counter()
        found = TASKS[task](matrices[int(file)])
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "found": found.tolist() if found.ndim == 1 else []}), flush=True)


if sys.argv[1] == "ranks":
    ranks(sys.argv[2])
else:
    times(sys.argv[2:])
