/** Returns the first index and the count of x[start:end:step], as in ONNX Runtime: the largest int32 and int64 mean no end. */
export function sliceRange(size: number, start: number, end: number, step: number) {
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (bound: number): number => Math.min(high, Math.max(low, bound < 0 ? bound + size : bound));
  const hasNoEnd = step < 0 && (end === 2 ** 31 - 1 || end >= 2 ** 63);
  const first = Math.max(0, clamp(start));
  const count = Math.max(0, Math.ceil(((hasNoEnd ? low : clamp(end)) - first) / step));
  return { first, count: Math.min(size, count) };
}
