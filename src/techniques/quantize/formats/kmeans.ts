/** One-dimensional k-means (Lloyd 1982) for n numbers and k clusters. Sorting and prefix sums reduce the cost of an iteration from n k to k log n. */
import { dataError, firstIndex, optionError } from "#ir";

const maxIterations = 300;

/**
 * Returns the centroids of clusters, in ascending order. They start evenly spaced over the range, so that rare large weights are represented (Han et
 * al. 2016). An empty cluster keeps its centroid.
 * @throws PithError E_OPTION if `clusters` is not a positive integer; E_DATA if a number is not finite or there are no numbers.
 */
export function kmeans(numbers: ArrayLike<number>, clusters: number): Float64Array {
  if (!Number.isInteger(clusters) || clusters < 1)
    throw optionError(`Clustering needs a positive number of clusters, got ${clusters}.`);
  const sorted = Float64Array.from(numbers).sort();
  if (sorted.length === 0 || !Number.isFinite(sorted[0]) || !Number.isFinite(sorted.at(-1)))
    throw dataError("Clustering needs finite numbers, and at least one.");
  const sums = new Float64Array(sorted.length + 1);
  for (let index = 0; index < sorted.length; index++) sums[index + 1] = (sums[index] ?? 0) + (sorted[index] ?? 0);
  const centroids = evenlySpaced(sorted, clusters);
  let clusterEnds = findClusterEnds(sorted, centroids);
  for (let iteration = 0; iteration < maxIterations && moveCentroids(centroids, clusterEnds, sorted, sums); iteration++)
    clusterEnds = findClusterEnds(sorted, centroids);
  return centroids;
}

/** Returns the index of the nearest centroid for each number; of two equally near centroids, the lower. Centroids must be in ascending order. */
export function assign(numbers: ArrayLike<number>, centroids: Float64Array): Uint32Array {
  return Uint32Array.from(numbers, (value) =>
    firstIndex(0, centroids.length - 1, (index) =>
      belongsToLower(value, centroids[index] ?? 0, centroids[index + 1] ?? 0),
    ),
  );
}

/** Returns whether a value belongs to the lower of two centroids, by the midpoint, because rounded distances could break the order. */
function belongsToLower(value: number, lower: number, upper: number): boolean {
  return value <= lower + (upper - lower) / 2;
}

/** Returns evenly spaced centroids, with the same rounding as `numpy.linspace`. */
function evenlySpaced(sorted: Float64Array, clusters: number): Float64Array {
  const low = sorted[0] ?? 0;
  const high = sorted.at(-1) ?? 0;
  const step = (high - low) / Math.max(1, clusters - 1);
  const values = Float64Array.from({ length: clusters }, (_, index) => low + index * step);
  if (clusters > 1) values[clusters - 1] = high;
  return values;
}

function findClusterEnds(sorted: Float64Array, centroids: Float64Array): Uint32Array {
  return Uint32Array.from(centroids, (centroid, cluster) => {
    const next = centroids[cluster + 1];
    if (next === undefined) return sorted.length;
    return firstIndex(0, sorted.length, (index) => !belongsToLower(sorted[index] ?? 0, centroid, next));
  });
}

function moveCentroids(
  centroids: Float64Array,
  bounds: Uint32Array,
  sorted: Float64Array,
  sums: Float64Array,
): boolean {
  let hasMoved = false;
  let from = 0;
  for (let cluster = 0; cluster < centroids.length; cluster++) {
    const to = bounds[cluster] ?? 0;
    if (to > from) {
      // Clamps the mean to the cluster's range, because differences of prefix sums have rounding errors.
      const mean = ((sums[to] ?? 0) - (sums[from] ?? 0)) / (to - from);
      const centroid = Math.max(sorted[from] ?? 0, Math.min(sorted[to - 1] ?? 0, mean));
      if (centroid !== centroids[cluster]) {
        centroids[cluster] = centroid;
        hasMoved = true;
      }
    }
    from = Math.max(from, to);
  }
  return hasMoved;
}
