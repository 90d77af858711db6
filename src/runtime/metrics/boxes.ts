/** Metrics for detectors with boxes [images, candidates, 4], as corners or as center and size, and scores [images, candidates, classes]. */
import { type Batch, counted, dataError, dimsText, toFloat64 } from "#ir";
import { columnSums } from "./metrics.ts";
import { outputNamed } from "./output.ts";
import type { Metric } from "./types.ts";

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
const threshold = 0.5;

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

interface BoxForm {
  readonly isCentered: boolean;
  readonly firstClass: number;
}

function boxFormOf(outputs: Batch): BoxForm {
  const corners = toFloat64(outputNamed(outputs, "boxes"));
  const scores = outputNamed(outputs, "scores");
  const classes = scores.dims[2] ?? 1;
  let isCentered = false;
  for (let start = 0; start + 3 < corners.length; start += 4) {
    const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = corners.subarray(start, start + 4);
    isCentered ||= x2 < x1 || y2 < y1;
  }
  return { isCentered, firstClass: classes > 1 && areProbabilities(toFloat64(scores), classes) ? 1 : 0 };
}

/** Returns the detections of each image. @throws PithError E_DATA if the model lacks these outputs. */
export function detections(outputs: Batch): readonly (readonly Detection[])[] {
  return detectionsOf(outputs, boxFormOf(outputs));
}

function detectionsOf(outputs: Batch, { isCentered, firstClass }: BoxForm): readonly (readonly Detection[])[] {
  const boxes = outputNamed(outputs, "boxes");
  const scores = outputNamed(outputs, "scores");
  const [images = 0, candidates = 0, corners] = boxes.dims;
  const classes = scores.dims[2] ?? 1;
  if (corners !== 4 || boxes.dims.length !== 3 || scores.dims[0] !== images || scores.dims[1] !== candidates) {
    throw dataError(
      `Boxes of ${dimsText(boxes.dims)} and scores of ${dimsText(scores.dims)} are not detections: expected [images, candidates, 4] and [images, candidates, classes].`,
    );
  }
  const [coordinates, values] = [toFloat64(boxes), toFloat64(scores)];
  return Array.from({ length: images }, (_, image) => {
    const accepted: Detection[] = [];
    for (let candidate = image * candidates; candidate < (image + 1) * candidates; candidate++) {
      let best = firstClass;
      for (let index = firstClass; index < classes; index++)
        if ((values[candidate * classes + index] ?? 0) > (values[candidate * classes + best] ?? 0)) best = index;
      const score = values[candidate * classes + best] ?? 0;
      if (!(score >= threshold)) continue;
      const [a = 0, b = 0, c = 0, d = 0] = coordinates.subarray(4 * candidate, 4 * candidate + 4);
      const box: Box = isCentered ? [a - c / 2, b - d / 2, a + c / 2, b + d / 2] : [a, b, c, d];
      accepted.push({ box, score, class: best });
    }
    return suppressOverlaps(accepted);
  });
}

function areProbabilities(values: Float64Array, classes: number): boolean {
  for (let start = 0; start < values.length; start += classes) {
    let sum = 0;
    for (let index = start; index < start + classes; index++) sum += values[index] ?? 0;
    if (Math.abs(sum - 1) > 1e-2) return false;
  }
  return true;
}

/** Box overlap with the original's detections: Σ IoU of matched boxes / number of boxes that either model finds. */
export function boxOverlap(): Metric {
  return boxRatio(
    "box overlap",
    (outputs, original) => {
      const form = boxFormOf(original);
      const [ours, theirs] = [detectionsOf(outputs, form), detectionsOf(original, form)];
      if (ours.length !== theirs.length) {
        const text = `The original outputs boxes for ${theirs.length} images, the model for ${ours.length}.`;
        throw dataError(text);
      }
      const rows = new Float64Array(2 * ours.length);
      for (const [image, detected] of ours.entries()) {
        const truths = theirs[image] ?? [];
        const matches = matchBoxes(detected, truths);
        const overlap = matches.reduce((sum, match) => sum + match.overlap, 0);
        rows.set([overlap, detected.length + truths.length - matches.length], 2 * image);
      }
      return rows;
    },
    (_, boxes) =>
      `${counted(boxes, "box")} found by either model with a score of at least ${threshold}, after non-maximum suppression (IoU ${threshold})`,
  );
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
