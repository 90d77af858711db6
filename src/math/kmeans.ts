/**
 * k-means on a line: the palette of k values that represents many numbers with the least squared error (Lloyd 1982).
 *
 * The numbers are sorted once. Every cluster is then a stretch between two midpoints, and its sum a difference of prefix sums: an iteration costs
 * k log n, not n k.
 */
import { PithError } from "../errors.ts";

/** Lloyd's iteration stops earlier when nothing moves. */
const mostIterations = 300;

/**
 * The centroids of clusters of numbers, ascending.
 *
 * They start evenly spaced from the smallest number to the largest, which keeps the rare large weights (Han et al. 2016). An empty cluster keeps
 * its centroid.
 * @throws PithError E_OPTION if `clusters` is not a positive integer, E_DATA if a number is not finite or there is none.
 * @example
 * const centroids = kmeans(weights, 16);
 * assign(weights, centroids); // 4 bits per weight
 */
export function kmeans(numbers: ArrayLike<number>, clusters: number): Float64Array {
  if (!Number.isInteger(clusters) || clusters < 1) {
    throw new PithError("E_OPTION", `Clustering needs a positive number of clusters, got ${clusters}.`);
  }
  const sorted = Float64Array.from(numbers).sort();
  if (sorted.length === 0 || !Number.isFinite(sorted[0]) || !Number.isFinite(sorted.at(-1))) {
    throw new PithError("E_DATA", "Clustering needs finite numbers, and at least one.");
  }
  const sums = new Float64Array(sorted.length + 1);
  for (let index = 0; index < sorted.length; index++) sums[index + 1] = (sums[index] ?? 0) + (sorted[index] ?? 0);
  const centroids = spread(sorted, clusters);
  let bounds = boundaries(sorted, centroids);
  for (let iteration = 0; iteration < mostIterations && recenter(centroids, bounds, sorted, sums); iteration++)
    bounds = boundaries(sorted, centroids);
  return centroids;
}

/** Of every number the index of its nearest centroid; `centroids` ascend, and a tie goes to the lower one. */
export function assign(numbers: ArrayLike<number>, centroids: Float64Array): Uint32Array {
  return Uint32Array.from(numbers, (value) => {
    let low = 0;
    let high = centroids.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (belongsToLower(value, centroids[middle] ?? 0, centroids[middle + 1] ?? 0)) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}

/**
 * Midpoints are in the order of the centroids; rounded distances need not be. Of equal centroids the first takes the numbers below and the last
 * those above, so they separate and stay in order.
 */
function belongsToLower(value: number, lower: number, upper: number): boolean {
  return value <= lower + (upper - lower) / 2;
}

/** Evenly spaced, the way `numpy.linspace` rounds. */
function spread(sorted: Float64Array, clusters: number): Float64Array {
  const low = sorted[0] ?? 0;
  const high = sorted.at(-1) ?? 0;
  const step = (high - low) / Math.max(1, clusters - 1);
  const values = Float64Array.from({ length: clusters }, (_, index) => low + index * step);
  if (clusters > 1) values[clusters - 1] = high;
  return values;
}

function boundaries(sorted: Float64Array, centroids: Float64Array): Uint32Array {
  return Uint32Array.from(centroids, (centroid, cluster) => {
    const next = centroids[cluster + 1];
    if (next === undefined) return sorted.length;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (belongsToLower(sorted[middle] ?? 0, centroid, next)) low = middle + 1;
      else high = middle;
    }
    return low;
  });
}

/** Moves every centroid to the mean of its cluster, and returns whether one moved. */
function recenter(centroids: Float64Array, bounds: Uint32Array, sorted: Float64Array, sums: Float64Array): boolean {
  let moved = false;
  let from = 0;
  for (let cluster = 0; cluster < centroids.length; cluster++) {
    const to = bounds[cluster] ?? 0;
    if (to > from) {
      // Differences of sums round; a mean never leaves its numbers.
      const mean = ((sums[to] ?? 0) - (sums[from] ?? 0)) / (to - from);
      const centroid = Math.max(sorted[from] ?? 0, Math.min(sorted[to - 1] ?? 0, mean));
      if (centroid !== centroids[cluster]) {
        centroids[cluster] = centroid;
        moved = true;
      }
    }
    from = Math.max(from, to);
  }
  return moved;
}
