/** The objective by which a run or search chooses a result: a cost to minimize (file size, download, time), and limits that exclude results. */
import { bytes as bytesText, times } from "#ir";

export interface Tradeoff {
  /** Bytes of the file, or of its download (`sizeFor`). */
  readonly size: number;
  readonly speed?: number | undefined;
  /** Drop in the unit of the metric; positive if the result is worse than the original. */
  readonly drop: number;
}

export interface Objective {
  readonly id: "size" | "speed" | "download" | "usual" | "target-size" | "faster";
  /** Lower is better. A factor of two in size or speed, or the allowed drop, is about one unit. */
  cost(figures: Tradeoff): number;
  /** Returns the relative distance from the required size, speed or drop; 0 if it is reached. */
  shortfall(figures: Tradeoff): number;
  /** Largest `shortfall` of predicted figures at which a candidate is still worth trying. */
  readonly slack: number;
  readonly shortfallReason?: string;
}

export const purposes = ["size", "speed", "download"] as const;
export type Purpose = (typeof purposes)[number];

export const sizeFor = (
  purpose: Purpose | undefined,
  { bytes, brotli = bytes }: { readonly bytes: number; readonly brotli?: number | undefined },
): number => (purpose === "download" ? brotli : bytes);

export interface ObjectiveOptions {
  readonly purpose?: Purpose | undefined;
  /** Maximum bytes of the result, or of its download (`purpose`). Among results that are small enough, the one with the smallest drop is best. */
  readonly targetSize?: number | undefined;
  /** Minimum speed relative to the original. Among results that are fast enough, the one with the smallest drop is best. */
  readonly faster?: number | undefined;
  /** Relative speed from which a result counts as equally fast (0.95). */
  readonly minSpeed?: number | undefined;
}

/** With a size or speed target alone, any drop is allowed. */
export function goalOf<G extends { readonly maxDrop?: number | undefined }>({
  goal,
  targetSize,
  faster,
}: ObjectiveOptions & { readonly goal?: G | undefined }): G | { readonly maxDrop: number } | undefined {
  if (goal?.maxDrop !== undefined || (targetSize === undefined && faster === undefined)) return goal;
  return { ...goal, maxDrop: Number.POSITIVE_INFINITY };
}

const maxTimingError = 0.03;

/** Size and speed are more predictable than drops. */
const [slackOfTarget, slackOfGoal] = [0.05, 0.25];

/** @param maxDrop undefined without a goal, so that drops do not count. */
export function objectiveOf(
  { purpose, targetSize, faster, minSpeed = 0.95 }: ObjectiveOptions,
  maxDrop: number | undefined,
  original: { readonly bytes: number },
): Objective {
  const unit = maxDrop === undefined || maxDrop === 0 ? 1 : maxDrop;
  const excessDrop = ({ drop }: Tradeoff): number => (maxDrop === undefined ? 0 : Math.max(0, drop - maxDrop) / unit);
  const missingSpeed = ({ speed }: Tradeoff, requiredSpeed: number): number =>
    speed === undefined ? 0 : Math.max(0, 1 - speed / requiredSpeed);
  const excessSize = ({ size }: Tradeoff, maxSize: number): number => Math.max(0, size / maxSize - 1);
  const byDrop = ({ drop, size }: Tradeoff): number => Math.max(0, drop) / unit + Math.log2(size) / 1000;
  if (targetSize !== undefined)
    return {
      id: "target-size",
      cost: byDrop,
      slack: slackOfTarget,
      shortfall: (figures) => excessSize(figures, targetSize),
      shortfallReason: `it has more than ${bytesText(targetSize)}`,
    };
  if (faster !== undefined)
    return {
      id: "faster",
      cost: byDrop,
      slack: slackOfTarget,
      shortfall: (figures) => missingSpeed(figures, (1 - maxTimingError) * faster),
      shortfallReason: `it is not ${times(faster)} as fast as the original`,
    };
  if (purpose === "speed")
    return {
      id: "speed",
      cost: ({ speed = 1 }) => -Math.log2(speed),
      slack: slackOfGoal,
      shortfall: (figures) => Math.max(excessDrop(figures), excessSize(figures, original.bytes)),
    };
  const cost = ({ size }: Tradeoff): number => Math.log2(size);
  const byGoal = { cost, slack: slackOfGoal, shortfall: excessDrop };
  if (purpose === "size" || purpose === "download") return { ...byGoal, id: purpose };
  return {
    ...byGoal,
    id: "usual",
    shortfall: (figures) => Math.max(excessDrop(figures), missingSpeed(figures, minSpeed)),
  };
}

export const isBySize = ({ id }: Pick<Objective, "id">): boolean =>
  id === "size" || id === "download" || id === "target-size";

export function paretoFrontOf<T>(items: readonly T[], figuresOf: (item: T) => Tradeoff): readonly T[] {
  const axes = items.map((item) => {
    const { size, drop, speed = 0 } = figuresOf(item);
    return [size, Math.max(0, drop), -speed] as const;
  });
  return items.filter((_, index) => {
    const itemAxes = axes[index];
    return !axes.some(
      (other, otherIndex) =>
        itemAxes !== undefined &&
        other.every((value, axis) => value <= (itemAxes[axis] ?? 0)) &&
        (other.some((value, axis) => value < (itemAxes[axis] ?? 0)) || otherIndex < index),
    );
  });
}
