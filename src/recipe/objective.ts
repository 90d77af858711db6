/** What a search looks for: of the results that are allowed, the one of least cost. */
import { bytes as bytesText, times } from "../evaluate/numbers.ts";

export interface Figures {
  readonly bytes: number;
  /** After brotli; undefined where there is no compressor. */
  readonly brotli?: number | undefined;
  /** How many times as fast as the original; undefined where it was not measured. */
  readonly speed?: number | undefined;
  /** How much worse than the original, in the units of the metric. */
  readonly drop: number;
}

export interface Objective {
  readonly id: "size" | "speed" | "download" | "usual" | "target-size" | "faster";
  /** Less is better; figures of about one unit where it is doubled. */
  cost(figures: Figures): number;
  /** How far figures are from what the objective demands, as a share of it. 0: they reach it, or the demand is a speed and none was measured. */
  misses(figures: Figures): number;
  /** By how much figures that are expected may miss it, and still be worth a try. */
  readonly slack: number;
  /** Of a target: why a result that misses it is of no use, whatever it loses. */
  readonly lacks?: string;
}

export const purposes = ["size", "speed", "download"] as const;
export type Purpose = (typeof purposes)[number];

export interface ObjectiveOptions {
  readonly purpose?: Purpose | undefined;
  /** Bytes at most: then the least drop is looked for. */
  readonly targetSize?: number | undefined;
  /** Times as fast at least: then the least drop is looked for. */
  readonly faster?: number | undefined;
  /** The speed relative to the original from which a result counts as no slower (0.95). */
  readonly leastSpeed?: number | undefined;
}

/** A target of size or speed stands in the place of a goal, unless both are given. */
export function goalOf<G extends { readonly maxDrop?: number | undefined }>({
  goal,
  targetSize,
  faster,
}: ObjectiveOptions & { readonly goal?: G | undefined }): G | { readonly maxDrop: number } | undefined {
  if (goal?.maxDrop !== undefined || (targetSize === undefined && faster === undefined)) return goal;
  return { ...goal, maxDrop: Number.POSITIVE_INFINITY };
}

/** By how much a speed may fall short when it is measured again, as a share. */
const timingSlack = 0.03;

/** Bytes and speeds are foreseen well, drops are not. */
const [slackOfTarget, slackOfGoal] = [0.05, 0.25];

/**
 * @param maxDrop of the goal; undefined where nothing can be lost.
 * @param original bytes of the original.
 */
export function objectiveOf(
  { purpose, targetSize, faster, leastSpeed = 0.95 }: ObjectiveOptions,
  maxDrop: number | undefined,
  original: { readonly bytes: number },
): Objective {
  const unit = maxDrop === undefined || maxDrop === 0 ? 1 : maxDrop;
  const worse = ({ drop }: Figures): number => (maxDrop === undefined ? 0 : Math.max(0, drop - maxDrop) / unit);
  const slower = ({ speed }: Figures, least: number): number =>
    speed === undefined ? 0 : Math.max(0, 1 - speed / least);
  const larger = ({ bytes }: Figures, most: number): number => Math.max(0, bytes / most - 1);
  const byDrop = ({ drop, bytes }: Figures): number => Math.max(0, drop) / unit + Math.log2(bytes) / 1000;
  if (targetSize !== undefined)
    return {
      id: "target-size",
      cost: byDrop,
      slack: slackOfTarget,
      misses: (figures) => larger(figures, targetSize),
      lacks: `it has more than ${bytesText(targetSize)}`,
    };
  if (faster !== undefined)
    return {
      id: "faster",
      cost: byDrop,
      slack: slackOfTarget,
      misses: (figures) => slower(figures, (1 - timingSlack) * faster),
      lacks: `it is not ${times(faster)} as fast as the original`,
    };
  if (purpose === "speed")
    return {
      id: "speed",
      cost: ({ speed = 1 }) => -Math.log2(speed),
      slack: slackOfGoal,
      misses: (figures) => Math.max(worse(figures), larger(figures, original.bytes)),
    };
  const cost = ({ bytes }: Figures): number => Math.log2(bytes);
  const byGoal = { cost, slack: slackOfGoal, misses: worse };
  if (purpose === "size") return { ...byGoal, id: "size" };
  if (purpose === "download")
    return { ...byGoal, id: "download", cost: ({ brotli, bytes }) => Math.log2(brotli ?? bytes) };
  return { ...byGoal, id: "usual", misses: (figures) => Math.max(worse(figures), slower(figures, leastSpeed)) };
}

/** Figures that no others are better than in one respect without being worse in another: bytes, drop, speed. */
export function frontOf<T>(all: readonly T[], figuresOf: (one: T) => Figures): readonly T[] {
  const axes = all.map((one) => {
    const { bytes, drop, speed = 0 } = figuresOf(one);
    return [bytes, Math.max(0, drop), -speed] as const;
  });
  return all.filter((_, at) => {
    const own = axes[at];
    return !axes.some(
      (other, place) =>
        own !== undefined &&
        other.every((value, axis) => value <= (own[axis] ?? 0)) &&
        (other.some((value, axis) => value < (own[axis] ?? 0)) || place < at),
    );
  });
}
