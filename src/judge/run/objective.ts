/** The objective of a search: the lowest cost among allowed results. */
import { bytes as bytesText, times } from "../../core/numbers.ts";

export interface Figures {
  /** Bytes of the file, or of its download (`sizeFor`). */
  readonly size: number;
  /** Relative to the original; undefined if not measured. */
  readonly speed?: number | undefined;
  /** Positive if worse than the original, in the units of the metric. */
  readonly drop: number;
}

export interface Objective {
  readonly id: "size" | "speed" | "download" | "usual" | "target-size" | "faster";
  /** Cost of a result, lower is better. A factor of two in size or speed, or the allowed drop, is about one unit. */
  cost(figures: Figures): number;
  /** Relative distance from the required size, speed or drop; 0 if it is reached, or if a required speed was not measured. */
  misses(figures: Figures): number;
  /** Largest `misses` of predicted figures at which a candidate is still worth trying. */
  readonly slack: number;
  /** Reason for rejecting a result that misses a size or speed target; undefined for objectives without a target. */
  readonly lacks?: string;
}

export const purposes = ["size", "speed", "download"] as const;
export type Purpose = (typeof purposes)[number];

/** Returns the size by which results are compared: bytes of the file, or of its download. */
export const sizeFor = (
  purpose: Purpose | undefined,
  { bytes, brotli = bytes }: { readonly bytes: number; readonly brotli?: number | undefined },
): number => (purpose === "download" ? brotli : bytes);

export interface ObjectiveOptions {
  readonly purpose?: Purpose | undefined;
  /** Maximum bytes of the result. Among results within it, the one with the smallest drop is best. */
  readonly targetSize?: number | undefined;
  /** Minimum speed relative to the original. Among results that reach it, the one with the smallest drop is best. */
  readonly faster?: number | undefined;
  /** Relative speed from which a result counts as equally fast (0.95). */
  readonly leastSpeed?: number | undefined;
}

/** Returns the goal of a search. With a size or speed target alone, any drop is allowed. */
export function goalOf<G extends { readonly maxDrop?: number | undefined }>({
  goal,
  targetSize,
  faster,
}: ObjectiveOptions & { readonly goal?: G | undefined }): G | { readonly maxDrop: number } | undefined {
  if (goal?.maxDrop !== undefined || (targetSize === undefined && faster === undefined)) return goal;
  return { ...goal, maxDrop: Number.POSITIVE_INFINITY };
}

const timingSlack = 0.03;

/** Slack of predictions: small for targets of size and speed, which are predictable, and larger for goals, because drops are not. */
const [slackOfTarget, slackOfGoal] = [0.05, 0.25];

/**
 * Creates the objective that the options describe. @param maxDrop maximum drop of the goal; undefined if the original is at chance level, so that no
 * drop counts.
 */
export function objectiveOf(
  { purpose, targetSize, faster, leastSpeed = 0.95 }: ObjectiveOptions,
  maxDrop: number | undefined,
  original: { readonly bytes: number },
): Objective {
  const unit = maxDrop === undefined || maxDrop === 0 ? 1 : maxDrop;
  const excessDrop = ({ drop }: Figures): number => (maxDrop === undefined ? 0 : Math.max(0, drop - maxDrop) / unit);
  const missingSpeed = ({ speed }: Figures, least: number): number =>
    speed === undefined ? 0 : Math.max(0, 1 - speed / least);
  const excessSize = ({ size }: Figures, most: number): number => Math.max(0, size / most - 1);
  const byDrop = ({ drop, size }: Figures): number => Math.max(0, drop) / unit + Math.log2(size) / 1000;
  if (targetSize !== undefined)
    return {
      id: "target-size",
      cost: byDrop,
      slack: slackOfTarget,
      misses: (figures) => excessSize(figures, targetSize),
      lacks: `it has more than ${bytesText(targetSize)}`,
    };
  if (faster !== undefined)
    return {
      id: "faster",
      cost: byDrop,
      slack: slackOfTarget,
      misses: (figures) => missingSpeed(figures, (1 - timingSlack) * faster),
      lacks: `it is not ${times(faster)} as fast as the original`,
    };
  if (purpose === "speed")
    return {
      id: "speed",
      cost: ({ speed = 1 }) => -Math.log2(speed),
      slack: slackOfGoal,
      misses: (figures) => Math.max(excessDrop(figures), excessSize(figures, original.bytes)),
    };
  const cost = ({ size }: Figures): number => Math.log2(size);
  const byGoal = { cost, slack: slackOfGoal, misses: excessDrop };
  if (purpose === "size" || purpose === "download") return { ...byGoal, id: purpose };
  return {
    ...byGoal,
    id: "usual",
    misses: (figures) => Math.max(excessDrop(figures), missingSpeed(figures, leastSpeed)),
  };
}

/** Whether only size and drop count, so no speed is measured. */
export const isBySize = ({ id }: Pick<Objective, "id">): boolean =>
  id === "size" || id === "download" || id === "target-size";

export function paretoFrontOf<T>(all: readonly T[], figuresOf: (one: T) => Figures): readonly T[] {
  const axes = all.map((one) => {
    const { size, drop, speed = 0 } = figuresOf(one);
    return [size, Math.max(0, drop), -speed] as const;
  });
  return all.filter((_, at) => {
    const axesHere = axes[at];
    return !axes.some(
      (other, place) =>
        axesHere !== undefined &&
        other.every((value, axis) => value <= (axesHere[axis] ?? 0)) &&
        (other.some((value, axis) => value < (axesHere[axis] ?? 0)) || place < at),
    );
  });
}
