/** A thousand seeded matrices whose rank is hard to determine: random, graded and adversarial. */
import { type Matrix, matrix, multiply, scaleColumns, scaleRows, transpose } from "../../../src/core/math/matrix.ts";
import { type Random, random } from "../../../src/core/tensor/random.ts";

export interface RankCase {
  readonly kind: string;
  readonly type: "float32" | "float64";
  readonly source: Matrix;
}

type Make = (draw: Random) => Matrix;

const filled = (rows: number, columns: number, entry: (row: number, column: number) => number): Matrix =>
  matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, (_, at) => entry(Math.floor(at / columns), at % columns)),
  );
const normal = (draw: Random, rows: number, columns: number): Matrix => filled(rows, columns, () => draw.normal());
const between = (draw: Random, low: number, high: number): number => low + draw.integer(high - low + 1);
const add = (a: Matrix, b: Matrix, factor: number): Matrix =>
  matrix(
    a.rows,
    a.columns,
    a.data.map((value, at) => value + factor * (b.data[at] ?? 0)),
  );

/** Applies random reflections from both sides, which keep the singular values. */
function turned(draw: Random, source: Matrix): Matrix {
  const reflected = (one: Matrix): Matrix => {
    const v = normal(draw, one.rows, 1);
    const length = v.data.reduce((sum, value) => sum + value * value, 0);
    return add(one, multiply(v, multiply(transpose(v), one)), -2 / length);
  };
  let result = source;
  for (let pass = 0; pass < 2; pass++) result = transpose(reflected(transpose(reflected(result))));
  return result;
}

function withValues(draw: Random, rows: number, columns: number, value: (index: number) => number): Matrix {
  return turned(
    draw,
    filled(rows, columns, (row, column) => (row === column ? value(row) : 0)),
  );
}

const kinds: Readonly<Record<string, Make>> = {
  random: (draw) => normal(draw, between(draw, 1, 60), between(draw, 1, 60)),
  "low rank": (draw) => {
    const rank = between(draw, 1, 12);
    return multiply(normal(draw, between(draw, rank, 60), rank), normal(draw, rank, between(draw, rank, 60)));
  },
  "large, low rank": (draw) => {
    const rank = between(draw, 1, 90);
    return multiply(normal(draw, between(draw, rank, 130), rank), normal(draw, rank, between(draw, rank, 130)));
  },
  "rank one and noise": (draw) => {
    const [rows, columns] = [between(draw, 2, 50), between(draw, 2, 50)];
    const signal = multiply(normal(draw, rows, 1), normal(draw, 1, columns));
    return add(signal, normal(draw, rows, columns), 10 ** -between(draw, 6, 20));
  },
  "graded columns": (draw) => {
    const [rows, columns, step] = [between(draw, 2, 50), between(draw, 2, 50), draw.uniform(0.1, 4)];
    return scaleColumns(
      normal(draw, rows, columns),
      Float64Array.from({ length: columns }, (_, index) => 10 ** (-step * index)),
    );
  },
  "graded rows": (draw) => {
    const [rows, columns, step] = [between(draw, 2, 50), between(draw, 2, 50), draw.uniform(0.1, 4)];
    return scaleRows(
      normal(draw, rows, columns),
      Float64Array.from({ length: rows }, (_, index) => 10 ** (-step * index)),
    );
  },
  "falling values": (draw) => {
    const [rows, columns, step] = [between(draw, 2, 60), between(draw, 2, 60), draw.uniform(0.05, 3)];
    return withValues(draw, rows, columns, (index) => 10 ** (-step * index));
  },
  "clustered values": (draw) => {
    const [size, small] = [between(draw, 3, 60), 10 ** -between(draw, 1, 18)];
    const first = between(draw, 1, size - 1);
    return withValues(draw, size + draw.integer(10), size, (index) => (index < first ? 1 : small));
  },
  "equal columns": (draw) => {
    const [rows, columns] = [between(draw, 2, 60), between(draw, 1, 20)];
    const few = normal(draw, rows, columns);
    return filled(
      rows,
      columns * between(draw, 2, 3),
      (row, column) => few.data[row * columns + (column % columns)] ?? 0,
    );
  },
  "equal rows": (draw) => {
    const [rows, columns, few] = [between(draw, 2, 60), between(draw, 1, 40), between(draw, 1, 10)];
    const base = normal(draw, few, columns);
    return filled(rows, columns, (row, column) => base.data[(row % few) * columns + column] ?? 0);
  },
  "zero rows and columns": (draw) => {
    const [rows, columns] = [between(draw, 2, 60), between(draw, 2, 60)];
    const [down, up] = [normal(draw, rows, 1), normal(draw, columns, 1)];
    return filled(rows, columns, (row, column) =>
      (down.data[row] ?? 0) < 0.3 || (up.data[column] ?? 0) < 0 ? 0 : draw.normal(),
    );
  },
  "one row or column": (draw) => {
    const [length, scale] = [between(draw, 1, 80), 10 ** between(draw, -20, 20)];
    const row = filled(1, length, () => scale * draw.normal());
    return draw.integer(2) === 0 ? row : transpose(row);
  },
  // Kahan matrices are upper triangular and nearly singular, although no pivot is small.
  Kahan: (draw) => {
    const [size, angle] = [between(draw, 2, 70), draw.uniform(0.2, 1.5)];
    const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
    return filled(size, size, (row, column) => (row > column ? 0 : sine ** row * (row === column ? 1 : -cosine)));
  },
  Hilbert: (draw) => {
    const [rows, columns, from] = [between(draw, 2, 40), between(draw, 2, 40), between(draw, 1, 3)];
    return filled(rows, columns, (row, column) => 1 / (row + column + from));
  },
  Vandermonde: (draw) => {
    const [rows, columns] = [between(draw, 2, 40), between(draw, 2, 25)];
    return filled(rows, columns, (row, column) => ((row + 1) / rows) ** column);
  },
  // Wilkinson matrices: the diagonal size … 1 with constants next to it, or W⁺ with pairs of nearly equal eigenvalues.
  Wilkinson: (draw) => {
    const size = between(draw, 3, 80);
    const symmetric = draw.integer(2) === 0;
    const beside = symmetric ? 1 : size * draw.uniform(0.5, 2);
    return filled(size, size, (row, column) => {
      if (row === column) return symmetric ? Math.abs(row - (size - 1) / 2) : size - row;
      return row + 1 === column || (symmetric && row === column + 1) ? beside : 0;
    });
  },
  // The smallest singular value decreases as beside⁻ⁿ.
  bidiagonal: (draw) => {
    const [size, beside] = [between(draw, 2, 110), draw.uniform(0.5, 3)];
    return filled(size, size, (row, column) => (row === column ? 1 : row + 1 === column ? -beside : 0));
  },
  "ones above the diagonal": (draw) => {
    const size = between(draw, 2, 80);
    return filled(size, size, (row, column) => (row > column ? 0 : row === column ? 1 : -1));
  },
  "small integers": (draw) => {
    const [rows, columns] = [between(draw, 2, 30), between(draw, 2, 30)];
    const few = filled(rows, between(draw, 1, 8), () => between(draw, -3, 3));
    return multiply(
      few,
      filled(few.columns, columns, () => between(draw, -3, 3)),
    );
  },
  "close to singular": (draw) => {
    const size = between(draw, 2, 40);
    const last = 10 ** -draw.uniform(10, 18);
    return withValues(draw, size, size, (index) => (index === size - 1 ? last : draw.uniform(0.5, 2)));
  },
};

/** Yields fifty matrices of each kind: a third with very small or large numbers, a tenth stored as float32. */
export function* rankCases(): Generator<RankCase> {
  for (const [kind, make] of Object.entries(kinds)) {
    for (let index = 0; index < 50; index++) {
      const draw = random(index, "rank", kind);
      const source = make(draw);
      if (index % 10 === 9) {
        const data = source.data.map(Math.fround);
        yield { kind, type: "float32", source: matrix(source.rows, source.columns, data) };
        continue;
      }
      const scale = index % 3 === 1 ? 10 ** ([-150, -20, 20, 150][draw.integer(4)] ?? 0) : 1;
      yield {
        kind,
        type: "float64",
        source: matrix(
          source.rows,
          source.columns,
          source.data.map((value) => value * scale),
        ),
      };
    }
  }
}
