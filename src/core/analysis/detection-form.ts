/**
 * Recognizes outputs of the YOLO family: boxes and their class scores in one tensor.
 *     [N, 4 + classes, boxes]    center x, center y, width, height, scores (YOLOv8, YOLO11)
 *     [N, boxes, 4 + classes]    the same values with the last two axes exchanged (RT-DETR)
 *     [N, boxes, 5 + classes]    center x, center y, width, height, objectness, scores (YOLOv5)
 *     [N, boxes, 6]              x1, y1, x2, y2, score, class, after the suppression of overlaps (YOLOv10)
 */
import type { Dim, Model, Value } from "#graph";
import type { Inference } from "./infer.ts";
import { joinedParts } from "./output-parts.ts";

/** In the order in which they are tried if values decide. */
const layouts = [
  "[N, 4 + classes, boxes]",
  "[N, boxes, 6]",
  "[N, boxes, 5 + classes]",
  "[N, boxes, 4 + classes]",
] as const;

export interface DetectionForm {
  readonly layout: (typeof layouts)[number];
  /** Undefined if each box names its class. */
  readonly classes: number | undefined;
}

/** Returns the axis along which the values of a box lie. */
export const fieldAxis = (layout: DetectionForm["layout"]): 1 | 2 => (layout === "[N, 4 + classes, boxes]" ? 1 : 2);

export function possibleDetectionForms(dims: readonly Dim[] | undefined): readonly DetectionForm[] {
  if (dims?.length !== 3) return [];
  return layouts.flatMap((layout): DetectionForm[] => {
    const axis = fieldAxis(layout);
    const [size, boxes] = [dims[axis], dims[3 - axis]];
    if (typeof size !== "number" || (typeof boxes === "number" && boxes <= size && layout !== "[N, boxes, 6]"))
      return [];
    if (layout === "[N, boxes, 6]") return size === 6 ? [{ layout, classes: undefined }] : [];
    const classes = size - (layout === "[N, boxes, 5 + classes]" ? 5 : 4);
    return classes < 1 ? [] : [{ layout, classes }];
  });
}

/** Returns the form of an output that joins four numbers of a box with scores of a Sigmoid. */
export function detectionForm(model: Model, output: Value, inference: Inference): DetectionForm | undefined {
  const parts = joinedParts(model, inference).get(output) ?? [];
  return possibleDetectionForms(inference.operand(output)?.dims).find(({ layout, classes }) => {
    const axis = fieldAxis(layout);
    const starts = parts.map(({ indices }) => indices.get(axis)?.[0] ?? Number.NaN);
    const scores = parts.filter((_, index) => (starts[index] ?? 0) >= 4);
    // Objectness is a separate part, or one Sigmoid computes centers, sizes and scores.
    const hasObjectness = starts.includes(5) || (axis === 2 && starts.includes(2));
    const areShares = scores.every(({ range }) => range === 1);
    const isJoined = classes !== undefined && starts.includes(4) && !starts.some(Number.isNaN);
    return isJoined && areShares && hasObjectness === (layout === "[N, boxes, 5 + classes]");
  });
}
