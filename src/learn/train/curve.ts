/** Mean losses over intervals with the same number of steps; plain data, stored in checkpoints. */
export interface Curve {
  /** Steps before the first interval: nonzero after resuming from a checkpoint without a curve. */
  readonly first: number;
  every: number;
  losses: number[];
  sum: number;
  count: number;
}

/** Above this number, pairs of intervals are merged. */
const mostStretches = 200;

export function startCurve(first = 0): Curve {
  return { first, every: 1, losses: [], sum: 0, count: 0 };
}

export function addLoss(curve: Curve, loss: number): void {
  curve.sum += loss;
  curve.count++;
  if (curve.count < curve.every) return;
  curve.losses.push(curve.sum / curve.count);
  [curve.sum, curve.count] = [0, 0];
  if (curve.losses.length < mostStretches) return;
  const { losses } = curve;
  curve.losses = Array.from(
    { length: mostStretches / 2 },
    (_, at) => ((losses[2 * at] ?? 0) + (losses[2 * at + 1] ?? 0)) / 2,
  );
  curve.every *= 2;
}
