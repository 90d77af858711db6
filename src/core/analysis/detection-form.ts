/**
 * Recognizes outputs of the YOLO family: boxes and their class scores in one tensor. Exporters concatenate boxes in pixels with scores of a Sigmoid:
 *
 *     [N, 4 + classes, boxes]    center x, center y, width, height, scores (YOLOv8, YOLO11)
 *     [N, boxes, 4 + classes]    the same values with the last two axes exchanged (RT-DETR)
 *     [N, boxes, 5 + classes]    center x, center y, width, height, objectness, scores (YOLOv5)
 *     [N, boxes, 6]              x1, y1, x2, y2, score, class, after the suppression of overlaps (YOLOv10)
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { isFloat } from "../tensor/convert.ts";
import type { Dim } from "../tensor/dims.ts";
import { isShare } from "./distribution.ts";
import type { Inference } from "./infer.ts";
import { keepsContents } from "./makers.ts";

export const detectionLayouts = [
  "[N, 4 + classes, boxes]",
  "[N, boxes, 4 + classes]",
  "[N, boxes, 5 + classes]",
  "[N, boxes, 6]",
] as const;

export interface DetectionForm {
  readonly layout: (typeof detectionLayouts)[number];
  /** Undefined if each box names its class. */
  readonly classes: number | undefined;
}

/** Returns the forms that the dimensions of an output allow. */
export function possibleDetectionForms(dims: readonly Dim[] | undefined): readonly DetectionForm[] {
  if (dims?.length !== 3) return [];
  const [, rows, columns] = dims;
  return detectionLayouts.flatMap((layout): DetectionForm[] => {
    const isTransposed = layout === "[N, 4 + classes, boxes]";
    const [size, boxes] = isTransposed ? [rows, columns] : [columns, rows];
    if (typeof size !== "number" || (typeof boxes === "number" && boxes <= size && layout !== "[N, boxes, 6]"))
      return [];
    if (layout === "[N, boxes, 6]") return size === 6 ? [{ layout, classes: undefined }] : [];
    const classes = size - (layout === "[N, boxes, 5 + classes]" ? 5 : 4);
    return classes < 1 ? [] : [{ layout, classes }];
  });
}

/** Returns the form of an output that concatenates four numbers of a box with scores of a Sigmoid; undefined for other outputs. */
export function detectionForm(output: Value, inference: Inference): DetectionForm | undefined {
  return possibleDetectionForms(inference.operand(output)?.dims).find(({ layout, classes }) => {
    if (classes === undefined) return false;
    const parts = joinedParts(output, layout === "[N, 4 + classes, boxes]" ? 1 : 2, inference);
    const starts = parts.map((_, index) => parts.slice(0, index).reduce((sum, { size }) => sum + size, 0));
    const scores = parts.filter((_, index) => (starts[index] ?? 0) >= 4);
    const boxes = parts.length - scores.length;
    // Objectness is a separate part, or the boxes consist of centers and sizes because they and all scores come from one Sigmoid.
    const hasObjectness = starts.includes(5) || (layout !== "[N, 4 + classes, boxes]" && boxes > 1);
    return (
      starts.includes(4) &&
      scores.every(({ value }) => isShare(value, inference)) &&
      hasObjectness === layout.includes("5")
    );
  });
}

interface Part {
  readonly value: Value;
  readonly size: number;
}

/** Returns the values that are joined along an axis of a value, behind nodes that only move elements; none if it is not joined along the axis. */
function joinedParts(output: Value, outputAxis: number, inference: Inference): readonly Part[] {
  let [current, axis] = [output, outputAxis];
  for (;;) {
    const { producer } = current;
    const dims = inference.operand(current)?.dims;
    if (dims === undefined || producer === undefined) return [];
    const inputs = producer.inputs.flatMap((value) => {
      const operand = value && inference.operand(value);
      return value && isFloat(operand?.type ?? "string") ? [{ value, dims: operand?.dims ?? [] }] : [];
    });
    const [first] = inputs;
    const joined = inputs.length < 2 ? -1 : dims.findIndex((_, index) => isSum(dims, inputs, index));
    if (first === undefined) return [];
    if (joined === axis) return inputs.map(({ value, dims: sizes }) => ({ value, size: Number(sizes[axis]) }));
    if (joined < 0) {
      const bound = inference.at(producer);
      const axes = [...first.dims.keys()].filter((index) => first.dims[index] === dims[axis]);
      if (bound instanceof Miss || !keepsContents(producer, bound, inference) || axes.length !== 1) return [];
      axis = axes[0] ?? axis;
    }
    current = first.value;
  }
}

/** Returns whether the sizes along an axis add up to that of the result, and all other sizes are equal. */
function isSum(dims: readonly Dim[], parts: readonly { readonly dims: readonly Dim[] }[], axis: number): boolean {
  let sum = 0;
  for (const { dims: part } of parts) {
    const size = part[axis];
    if (part.length !== dims.length || typeof size !== "number") return false;
    if (part.some((other, index) => index !== axis && other !== dims[index])) return false;
    sum += size;
  }
  return sum === dims[axis];
}
