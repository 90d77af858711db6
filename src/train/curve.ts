/** The losses of a training's steps, few enough to draw. */

/** Mean losses over intervals of equally many steps: plain data, stored in checkpoints. */
export interface Curve {
  /** Steps before the first stretch: of a checkpoint without a curve those that it had done. */
  readonly first: number;
  every: number;
  losses: number[];
  /** Of the stretch that has begun: the sum of losses, and their number. */
  sum: number;
  count: number;
}

/** Where there are more stretches, two in a row become one. */
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
