/** Detectors with boxes [images, candidates, 4], as corners or as center and size, and scores [images, candidates, classes]. */
import { type Batch, counted, dataError, dimsText, toFloat64 } from "#ir";
import { type Box, boxRatio, type Detection, matchBoxes, suppressOverlaps, threshold } from "./boxes.ts";
import type { Metric } from "./metric.ts";
import { outputNamed } from "./output.ts";

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
    const acceptedBoxes: Detection[] = [];
    for (let candidate = image * candidates; candidate < (image + 1) * candidates; candidate++) {
      let best = firstClass;
      for (let index = firstClass; index < classes; index++)
        if ((values[candidate * classes + index] ?? 0) > (values[candidate * classes + best] ?? 0)) best = index;
      const score = values[candidate * classes + best] ?? 0;
      if (!(score >= threshold)) continue;
      const [a = 0, b = 0, c = 0, d = 0] = coordinates.subarray(4 * candidate, 4 * candidate + 4);
      const box: Box = isCentered ? [a - c / 2, b - d / 2, a + c / 2, b + d / 2] : [a, b, c, d];
      acceptedBoxes.push({ box, score, class: best });
    }
    return suppressOverlaps(acceptedBoxes);
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
