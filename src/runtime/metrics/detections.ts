/** Metrics for detectors that write boxes and scores into one output (`core/analysis/detection-form.ts`). */
import { type DetectionForm, fieldAxis } from "#analysis";
import { counted, type Dense, dataError, dimsText, integer, toFloat64 } from "#ir";
import { type Box, type BoxLimits, boxRatio, type Detection, matchBoxes, suppressOverlaps } from "./boxes.ts";
import { labelOf } from "./class-metrics.ts";
import type { Metric, MetricOptions } from "./metric.ts";
import { mainOutput, mainOutputName } from "./output.ts";

/** Defaults of `non_max_suppression` of ultralytics (utils/ops.py). */
const predictionLimits: BoxLimits = { minScore: 0.25, maxOverlap: 0.45, count: 300 };

/** Limits of a validation by ultralytics (conf, iou), and the 100 detections per image of COCO. */
const validationLimits: BoxLimits = { minScore: 0.001, maxOverlap: 0.7, count: 100 };

/** Returns the detections of each image. @throws PithError E_DATA if the output does not have the form. */
export function readDetections(
  output: Dense,
  { layout, classes }: DetectionForm,
  limits = predictionLimits,
): readonly (readonly Detection[])[] {
  const axis = fieldAxis(layout);
  const [images = 0, ...sizes] = output.dims;
  const [width = 0, boxes = 0] = axis === 1 ? sizes : sizes.toReversed();
  const first = layout === "[N, boxes, 5 + classes]" ? 5 : 4;
  if (sizes.length !== 2 || width !== (classes === undefined ? 6 : first + classes))
    throw dataError(`An output of ${dimsText(output.dims)} has no detections of the form ${layout}.`);
  const values = toFloat64(output);
  return Array.from({ length: images }, (_, image) => {
    const candidates: Detection[] = [];
    for (let box = 0; box < boxes; box++) {
      const at = (field: number): number =>
        values[axis === 1 ? (image * width + field) * boxes + box : (image * boxes + box) * width + field] ?? 0;
      const corners: Box = [at(0), at(1), at(2), at(3)];
      if (classes === undefined) {
        const isClass = Number.isInteger(at(5)) && at(5) >= 0;
        if (isClass && at(4) >= limits.minScore) candidates.push({ box: corners, score: at(4), class: at(5) });
        continue;
      }
      let best = 0;
      for (let index = 1; index < classes; index++) if (at(first + index) > at(first + best)) best = index;
      const score = at(first + best) * (first === 5 ? at(4) : 1);
      if (!(score >= limits.minScore)) continue;
      const [x, y, w, h] = corners;
      candidates.push({ box: [x - w / 2, y - h / 2, x + w / 2, y + h / 2], score, class: best });
    }
    // A detector that names classes has suppressed overlaps itself.
    return suppressOverlaps(candidates, classes === undefined ? { ...limits, maxOverlap: 1 } : limits);
  });
}

/** Returns whether the values of an output can be detections. */
export function areDetections(output: Dense, form: DetectionForm): boolean {
  const tolerance = 1e-3;
  return toFloat64(output).every((value, index) => {
    const field = fieldOf(index, output, form);
    if (field < 2 || (field < 4 && form.classes === undefined)) return Number.isFinite(value);
    if (field < 4) return value >= 0;
    if (field === 5 && form.classes === undefined) return Number.isInteger(value);
    return value >= -tolerance && value <= 1 + tolerance;
  });
}

/** Returns whether coordinates are in pixels. */
export function hasPixels(output: Dense, form: DetectionForm): boolean {
  return toFloat64(output).some((value, index) => value > 2 && fieldOf(index, output, form) < 4);
}

/** Returns the share of boxes with a high fifth value that also have a later high one: near 1 for objectness, near 0 for a class. */
export function objectnessShare(outputs: readonly Dense[], { classes = 1 }: DetectionForm): number {
  const width = 5 + classes;
  const isHigh = (value = 0): boolean => value >= predictionLimits.minScore;
  const boxes = outputs
    .map(toFloat64)
    .flatMap((values) => Array.from({ length: values.length / width }, (_, box) => values.subarray(box * width)))
    .filter((values) => isHigh(values[4]));
  return boxes.filter((values) => values.subarray(5, width).some(isHigh)).length / boxes.length;
}

function fieldOf(index: number, { dims: [, rows = 1, columns = 1] }: Dense, { layout }: DetectionForm): number {
  return fieldAxis(layout) === 1 ? Math.floor(index / columns) % rows : index % columns;
}

/** Agreement with the original's detections: 2 · matched / (n₁ + n₂), for n₁ and n₂ detections. */
export function detectionAgreement(options: MetricOptions = {}): Metric {
  return boxRatio(
    "agreement",
    (outputs, original) => {
      const form = requireForm(options);
      const name = mainOutputName(original, options.output);
      const [ours, theirs] = [outputs, original].map((batch) => readDetections(mainOutput(batch, name), form));
      return Float64Array.from(
        (theirs ?? []).flatMap((truths, image) => {
          const detections = ours?.[image] ?? [];
          return [2 * matchBoxes(detections, truths).length, detections.length + truths.length];
        }),
      );
    },
    (matched, boxes) =>
      `${integer(matched)} of the ${counted(boxes, "detection")} of both models match (score of at least ${predictionLimits.minScore}, after non-maximum suppression with IoU ${predictionLimits.maxOverlap})`,
  );
}

const cocoOverlaps = Array.from({ length: 10 }, (_, index) => (50 + 5 * index) / 100);

/** Recall thresholds at which COCO samples the precision. */
const recalls = Array.from({ length: 101 }, (_, index) => index / 100);

const maxScoreCode = 2 ** 30 - 1;
const [scoreUnit, classUnit] = [2 ** 10, 2 ** 40];
const maxImageClasses = 100;
const columns = (validationLimits.count ?? 0) + maxImageClasses;

/**
 * Mean average precision as COCO (pycocotools, COCOeval). Labels are rows of class, x1, y1, x2 and y2 per image.
 * A row of the metric has one number per detection: class · 2⁴⁰ + (1 − score) · (2³⁰ − 1) · 2¹⁰ + one bit per IoU threshold at which it matches.
 * Then follows one number per class of the labels, class · 2⁴⁰ + number of boxes. −1 fills the rest.
 */
export function meanAveragePrecision(options: MetricOptions = {}, overlaps: readonly number[] = cocoOverlaps): Metric {
  return {
    name: overlaps.length === 1 ? `mAP at IoU ${overlaps[0]}` : "mAP",
    unit: "share",
    better: "higher",
    columns,
    rows(outputs, batch) {
      const form = requireForm(options);
      const detections = readDetections(mainOutput(outputs, options.output), form, validationLimits);
      const truths = readBoxLabels(labelOf(batch), form);
      const rows = new Float64Array(columns * truths.length).fill(-1);
      for (const [image, boxes] of truths.entries()) {
        const imageDetections = detections[image] ?? [];
        const matches = new Float64Array(imageDetections.length);
        for (const [bit, overlap] of overlaps.entries())
          for (const { detection } of matchBoxes(imageDetections, boxes, overlap))
            matches[detection] = (matches[detection] ?? 0) + 2 ** bit;
        const codes = imageDetections.map(
          ({ class: index, score }, detection) =>
            index * classUnit +
            Math.round((1 - Math.min(1, score)) * maxScoreCode) * scoreUnit +
            (matches[detection] ?? 0),
        );
        const counts = new Map<number, number>();
        for (const { class: index } of boxes) counts.set(index, (counts.get(index) ?? 0) + 1);
        if (counts.size > maxImageClasses)
          throw dataError(`The labels of an image name ${counts.size} classes, more than ${maxImageClasses}.`);
        rows.set(codes, columns * image);
        rows.set(
          [...counts].map(([index, count]) => index * classUnit + count),
          columns * (image + 1) - maxImageClasses,
        );
      }
      return rows;
    },
    gathered(rows) {
      if (labelCounts(rows).size > 0) return rows;
      throw dataError("The labels contain no boxes: there is nothing to detect.");
    },
    detail(rows) {
      const boxes = [...labelCounts(rows).values()].reduce((sum, count) => sum + count, 0);
      return `${counted(boxes, "labeled box")} of ${counted(labelCounts(rows).size, "class")}`;
    },
    reduce(rows) {
      const truths = labelCounts(rows);
      const codes = detectionCodes(rows).sort();
      let sum = 0;
      for (let start = 0, end = 0; start < codes.length; start = end) {
        const index = Math.floor((codes[start] ?? 0) / classUnit);
        while (end < codes.length && Math.floor((codes[end] ?? 0) / classUnit) === index) end++;
        const count = truths.get(index);
        if (count === undefined) continue;
        const bits = Array.from(codes.subarray(start, end), (code) => code % scoreUnit);
        for (const bit of overlaps.keys()) sum += averagePrecision(bits, 2 ** bit, count);
      }
      // A bootstrap sample without labels has no precision.
      return truths.size === 0 ? 0 : sum / truths.size / overlaps.length;
    },
  };
}

function detectionCodes(rows: Float64Array): Float64Array {
  const codes = new Float64Array(rows.length);
  let count = 0;
  for (let start = 0; start < rows.length; start += columns)
    for (let index = start; index < start + columns - maxImageClasses; index++) {
      const code = rows[index] ?? -1;
      if (code < 0) break;
      codes[count++] = code;
    }
  return codes.subarray(0, count);
}

function labelCounts(rows: Float64Array): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (let start = columns - maxImageClasses; start < rows.length; start += columns)
    for (let index = start; index < start + maxImageClasses; index++) {
      const code = rows[index] ?? -1;
      if (code < 0) break;
      const label = Math.floor(code / classUnit);
      counts.set(label, (counts.get(label) ?? 0) + (code % classUnit));
    }
  return counts;
}

/** Returns the mean over `recalls` of the largest precision at this recall or a larger one. */
function averagePrecision(bits: readonly number[], bit: number, truths: number): number {
  const hits: number[] = [];
  for (const [index, matches] of bits.entries()) if (Math.floor(matches / bit) % 2 === 1) hits.push(index + 1);
  let [precision, sum, recall] = [0, 0, recalls.length - 1];
  for (let hitCount = hits.length; hitCount > 0; hitCount--) {
    precision = Math.max(precision, hitCount / (hits[hitCount - 1] ?? 1));
    // Recalls above (hitCount − 1) / truths are first reached by this hit.
    for (; recall >= 0 && (recalls[recall] ?? 0) > (hitCount - 1) / truths; recall--)
      if ((recalls[recall] ?? 0) <= hitCount / truths) sum += precision;
  }
  // All hits reach the recall 0.
  return (sum + precision) / recalls.length;
}

/** Returns whether labels are boxes: rows of class, x1, y1, x2 and y2 per image. */
export const areBoxLabels = ({ dims, type }: Dense): boolean => dims.length === 3 && dims[2] === 5 && type !== "string";

function readBoxLabels(label: Dense, { classes = Number.POSITIVE_INFINITY }: DetectionForm) {
  if (!areBoxLabels(label))
    throw dataError(`The label is ${dimsText(label.dims)}: expected [N, boxes, 5] for a detector.`, {
      hint: "A row is class, x1, y1, x2, y2 in the units of the model's boxes; fill missing rows with class −1.",
    });
  const [images = 0, boxes = 0] = label.dims;
  const values = toFloat64(label);
  return Array.from({ length: images }, (_, image) =>
    Array.from({ length: boxes }, (_, row) => {
      const start = 5 * (image * boxes + row);
      const [index = -1, x1 = 0, y1 = 0, x2 = 0, y2 = 0] = values.subarray(start, start + 5);
      if (!Number.isInteger(index) || index >= classes)
        throw dataError(`A box has the class ${index}, and the model detects the classes 0 to ${classes - 1}.`);
      return { class: index, box: [x1, y1, x2, y2] as const };
    }).filter(({ class: index }) => index >= 0),
  );
}

function requireForm({ form }: MetricOptions): DetectionForm {
  if (typeof form === "object") return form;
  throw dataError("The output has none of the known forms of detections.", {
    hint: "The forms are [N, 4 + classes, boxes], [N, boxes, 5 + classes] and [N, boxes, 6], with scores between 0 and 1.",
  });
}
