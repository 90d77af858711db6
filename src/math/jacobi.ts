/**
 * SVD of small matrices by one-sided Jacobi rotations, accurate relative to each singular value as far as the columns' scaling allows
 * (Demmel and Veselić 1992): pivoted QR, QR of Rᵀ, then Jacobi on the remaining triangle,
 *      A P = Q₁ R,   Rᵀ = Q₂ R₂,   R₂ᵀ V₁ = U₁ Σ      ⇒   U = Q₁ U₁,   V = P Q₂ V₁
 * The triangular steps sort the columns and gather weight near the diagonal, so Jacobi needs few sweeps.
 */
import { PithError } from "../errors.ts";
import { identity, type Matrix, matrix } from "./matrix.ts";
import { applyQ, householder, negligibleSquare, type Reflectors } from "./qr.ts";
import { axpy, dot, rotate } from "./vector.ts";

/** Singular vectors in rows, values descending. */
export interface RowSvd {
  readonly values: Float64Array;
  readonly left: Matrix;
  readonly right: Matrix;
}

/** Decomposes a matrix given as its columns (count × length, count ≤ length), with entries near 1; overwrites it. */
export function jacobiSvd(source: Matrix): RowSvd {
  const { rows: count, columns: rows } = source;
  const { outer, inner, triangle } = triangularize(source);
  const { values, left: small, right } = rotated(triangle, count);
  const left = matrix(count, rows);
  for (let row = 0; row < count; row++) left.data.set(small.subarray(row * count, (row + 1) * count), row * rows);
  applyQ(outer, left.data, count);
  applyQ(inner, right, count);
  const v = matrix(count, count);
  for (let place = 0; place < count; place++) {
    for (let row = 0; row < count; row++)
      v.data[place * count + (outer.order[row] ?? 0)] = right[place * count + row] ?? 0;
  }
  return { values, left, right: v };
}

/** X V = U Σ of the square matrix X with these columns. The columns of U and V are contiguous, too. */
function rotated(columns: Float64Array, count: number) {
  const rotations = identity(count).data;
  orthogonalizeColumns(columns, count, count, rotations);
  const { values, ranked } = rank(columns, count, count);
  const [left, right] = [new Float64Array(columns.length), new Float64Array(count * count)];
  for (const [place, column] of ranked.entries()) {
    const norm = values[place] ?? 0;
    right.set(rotations.subarray(column * count, (column + 1) * count), place * count);
    if (norm > 0) axpy(1 / norm, columns, column * count, left, place * count, count);
  }
  completeBasis(left, count, values);
  return { values, left, right };
}

interface Triangularized {
  readonly outer: Reflectors;
  readonly inner: Reflectors;
  readonly triangle: Float64Array;
}

function triangularize({ rows: count, columns: length, data }: Matrix): Triangularized {
  const outer = householder(data, length, count, true);
  const lower = new Float64Array(count * count);
  for (let column = 0; column < count; column++) {
    for (let row = 0; row <= column; row++) lower[row * count + column] = data[column * length + row] ?? 0;
  }
  const inner = householder(lower, count, count, false);
  const triangle = new Float64Array(count * count);
  for (let column = 0; column < count; column++) {
    for (let row = 0; row <= column; row++) triangle[row * count + column] = lower[column * count + row] ?? 0;
  }
  return { outer, inner, triangle };
}

/** Returns column norms in descending order, and the column of each. */
function rank(
  columns: Float64Array,
  length: number,
  count: number,
): { readonly values: Float64Array; readonly ranked: Uint32Array } {
  const norms = Float64Array.from({ length: count }, (_, column) => {
    const square = dot(columns, column * length, columns, column * length, length);
    return square < negligibleSquare ? 0 : Math.sqrt(square);
  });
  const ranked = Uint32Array.from({ length: count }, (_, index) => index).sort(
    (a, b) => (norms[b] ?? 0) - (norms[a] ?? 0),
  );
  return { values: Float64Array.from(ranked, (column) => norms[column] ?? 0), ranked };
}

/** Completes the basis for singular values of 0: orthogonalizes unit vectors twice and takes the first that keeps enough of its length. */
function completeBasis(columns: Float64Array, length: number, values: Float64Array): void {
  let candidate = 0;
  const known = values.indexOf(0);
  for (let place = known < 0 ? values.length : known; place * length < columns.length; place++) {
    const at = place * length;
    for (; ; candidate++) {
      columns.fill(0, at, at + length);
      columns[at + candidate] = 1;
      let norm = 1;
      for (let pass = 0; pass < 2; pass++) {
        for (let other = 0; other < place; other++) {
          axpy(-dot(columns, at, columns, other * length, length), columns, other * length, columns, at, length);
        }
        norm = Math.sqrt(dot(columns, at, columns, at, length));
        // Some unit vector keeps at least 1/√length of itself in length - place missing directions.
        if (norm < 0.5 / Math.sqrt(length)) break;
        for (let index = at; index < at + length; index++) columns[index] = (columns[index] ?? 0) / norm;
      }
      if (norm >= 0.5 / Math.sqrt(length)) break;
    }
  }
}

// One-sided Jacobi makes the columns orthogonal: X · V = U · Σ. For squared norms a ≥ b and inner product c of a pair, it rotates by
// tan θ = t = sign(ζ) / (|ζ| + √(1 + ζ²)), ζ = (b - a) / 2c. The larger column goes first, so columns end almost sorted (de Rijk).
// On the triangular factors of a pivoted QR a few sweeps suffice (Drmač and Veselić 2008).

/** Usually 3 to 8; the limit only guards against a bug. */
const mostSweeps = 60;

/**
 * Rotates the `count` columns of `columns` (each `length` long, contiguous) to orthogonality, and those of `rotations` with them.
 * @throws PithError E_DATA if it does not converge, which only non-finite entries can cause.
 */
function orthogonalizeColumns(columns: Float64Array, length: number, count: number, rotations: Float64Array): void {
  const squares = new Float64Array(count);
  // The cosine below which a pair counts as orthogonal: the rounding error of a zero inner product.
  const tolerance = 2 ** -52 * Math.max(4, Math.sqrt(length));
  // Two tiles of columns (and of rotations) should fit the second-level cache.
  const tile = Math.max(4, Math.floor(16384 / Math.max(1, length)));
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    for (let column = 0; column < count; column++) {
      squares[column] = dot(columns, column * length, columns, column * length, length);
    }
    let rotated = false;
    for (let left = 0; left < count; left += tile) {
      const leftEnd = Math.min(count, left + tile);
      for (let right = left; right < count; right += tile) {
        const rightEnd = Math.min(count, right + tile);
        for (let p = left; p < leftEnd; p++) {
          for (let q = Math.max(right, p + 1); q < rightEnd; q++) {
            if (orthogonalizePair(columns, length, squares, rotations, count, tolerance, p, q)) rotated = true;
          }
        }
      }
    }
    if (!rotated) return;
  }
  throw new PithError("E_DATA", `The singular value decomposition did not converge in ${mostSweeps} sweeps.`);
}

function orthogonalizePair(
  columns: Float64Array,
  length: number,
  squares: Float64Array,
  rotations: Float64Array,
  count: number,
  tolerance: number,
  p: number,
  q: number,
): boolean {
  const a = squares[p] ?? 0;
  const b = squares[q] ?? 0;
  if (a < negligibleSquare || b < negligibleSquare) return false;
  const product = dot(columns, p * length, columns, q * length, length);
  if (Math.abs(product) <= tolerance * Math.sqrt(a) * Math.sqrt(b)) return false;
  const zeta = (b - a) / (2 * product);
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  const sine = cosine * tangent;
  const tau = sine / (1 + cosine);
  const first = a - tangent * product;
  const second = b + tangent * product;
  const [toP, toQ] = first >= second ? [p, q] : [q, p];
  rotate(columns, p * length, q * length, toP * length, toQ * length, length, sine, tau);
  rotate(rotations, p * count, q * count, toP * count, toQ * count, count, sine, tau);
  squares[toP] = Math.max(0, first);
  squares[toQ] = Math.max(0, second);
  return true;
}
