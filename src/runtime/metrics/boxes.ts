/** Boxes of detectors: overlap, matching, non-maximum suppression, and metrics of matched boxes. */
import { dataError } from "#ir";
import type { Metric } from "./metric.ts";
import { columnSums } from "./rows.ts";

export type Box = readonly [number, number, number, number];

export interface Detection {
  readonly box: Box;
  readonly score: number;
  readonly class: number;
}

/** Returns IoU = |A ∩ B| / |A ∪ B|; 1 for equal boxes, 0 for different boxes without an area. */
export function intersectionOverUnion(a: Box, b: Box): number {
  if (a.every((corner, index) => corner === b[index])) return 1;
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const intersection = width * height;
  const union = area(a) + area(b) - intersection;
  return union > 0 ? intersection / union : 0;
}

function area([x1, y1, x2, y2]: Box): number {
  return (x2 - x1) * (y2 - y1);
}

/** Minimum score of a detection, and minimum IoU of two boxes that match. */
export const threshold = 0.5;

export interface BoxLimits {
  readonly minScore: number;
  /** IoU above which the better of two boxes of a class suppresses the other. */
  readonly maxOverlap: number;
  /** Maximum number per image. */
  readonly count?: number;
}

/** Indices of a detection and the true box that it matches, and their intersection over union. */
export interface BoxMatch {
  readonly detection: number;
  readonly truth: number;
  readonly overlap: number;
}

/** Matches each detection, by falling score, to the unmatched box of its class with the largest IoU ≥ `minOverlap` (as COCO). */
export function matchBoxes(
  detections: readonly Detection[],
  truths: readonly Pick<Detection, "box" | "class">[],
  minOverlap = threshold,
): readonly BoxMatch[] {
  const usedTruths = new Set<number>();
  return sortByScore(detections).flatMap(([index, detection]): BoxMatch[] => {
    let best: BoxMatch | undefined;
    for (const [truth, other] of truths.entries()) {
      if (usedTruths.has(truth) || other.class !== detection.class) continue;
      const overlap = intersectionOverUnion(detection.box, other.box);
      if (overlap >= minOverlap && overlap > (best?.overlap ?? -1)) best = { detection: index, truth, overlap };
    }
    if (best === undefined) return [];
    usedTruths.add(best.truth);
    return [best];
  });
}

/** Non-maximum suppression within each class. Returns the kept detections by falling score. */
export function suppressOverlaps(
  candidates: readonly Detection[],
  { maxOverlap, count = Number.POSITIVE_INFINITY }: Omit<BoxLimits, "minScore"> = { maxOverlap: threshold },
): readonly Detection[] {
  const keptDetections: Detection[] = [];
  for (const [, detection] of sortByScore(candidates)) {
    if (keptDetections.length >= count) break;
    const isCovered = keptDetections.some(
      (other) => other.class === detection.class && intersectionOverUnion(other.box, detection.box) > maxOverlap,
    );
    if (!isCovered) keptDetections.push(detection);
  }
  return keptDetections;
}

function sortByScore(detections: readonly Detection[]): [index: number, detection: Detection][] {
  return [...detections.entries()].sort(([i, a], [j, b]) => b.score - a.score || i - j);
}

/** Defines a metric with rows [sum over matched boxes, number of boxes] per image. Its value is the ratio of the totals. */
export function boxRatio(
  name: string,
  rows: Metric["rows"],
  describe: (matched: number, boxes: number) => string,
): Metric {
  return {
    name,
    unit: "share",
    better: "higher",
    columns: 2,
    truth: "original",
    rows,
    gathered(rows, samples) {
      const [, boxes = 0] = columnSums(rows, 2);
      if (boxes > 0) return rows;
      const text = `Neither model detects anything on ${samples} samples: there are no boxes to compare.`;
      const hint =
        "The preprocessing may be wrong (`preprocess`), or the samples contain nothing that the model detects.";
      throw dataError(text, { hint });
    },
    detail(rows) {
      const [matched = 0, boxes = 0] = columnSums(rows, 2);
      return describe(matched, boxes);
    },
    reduce(rows) {
      const [matched = 0, boxes = 0] = columnSums(rows, 2);
      // A bootstrap sample in which neither model finds a box shows no loss.
      return boxes === 0 ? 1 : matched / boxes;
    },
  };
}
