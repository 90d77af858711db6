/**
 * One-sided Jacobi: rotations from the right until the columns are orthogonal, X · V = U · Σ.
 *
 * A pair of columns with squared norms a ≥ b and inner product c is made orthogonal by the rotation with
 * tan θ = t = sign(ζ) / (|ζ| + √(1 + ζ²)), ζ = (b - a) / 2c. The larger column is kept in front, so the columns end up almost sorted
 * (de Rijk). Every singular value comes out with a small error relative to itself as far as the columns' scaling allows (Demmel and
 * Veselić 1992), which bidiagonalization does not give. On the triangular factors of a pivoted QR a few sweeps suffice (Drmač and
 * Veselić 2008).
 */
import { PithError } from "../errors.ts";
import { dot, rotate } from "./vector.ts";

/** Below this squared norm a column counts as zero: products of its entries would underflow. Entries near 1 are assumed. */
export const negligibleSquare = 2 ** -900;

/** In practice 3 to 8; the limit only guards against a fault. */
const mostSweeps = 60;

/**
 * Rotates the `count` columns of `columns` (each `length` long, contiguous) to orthogonality, and those of `rotations` with them.
 * @throws PithError E_DATA if it does not converge, which only non-finite entries can cause.
 */
export function orthogonalizeColumns(
  columns: Float64Array,
  length: number,
  count: number,
  rotations: Float64Array | undefined,
): void {
  const squares = new Float64Array(count);
  // The cosine below which a pair counts as orthogonal: what rounding leaves of an inner product that is 0.
  const tolerance = 2 ** -52 * Math.max(4, Math.sqrt(length));
  // Two tiles of columns (and of rotations) should fit the second cache.
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
  rotations: Float64Array | undefined,
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
  // The larger column goes in front.
  const [toP, toQ] = first >= second ? [p, q] : [q, p];
  rotate(columns, p * length, q * length, toP * length, toQ * length, length, sine, tau);
  if (rotations !== undefined) rotate(rotations, p * count, q * count, toP * count, toQ * count, count, sine, tau);
  squares[toP] = Math.max(0, first);
  squares[toQ] = Math.max(0, second);
  return true;
}
