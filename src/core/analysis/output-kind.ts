/** Guesses what an output contains: classes, boxes, a vector, numbers or an image. */
import { type Dim, isFloat, type Model, type Value } from "#graph";
import { contentProducers } from "./content-producers.ts";
import { detectionForm } from "./detection-form.ts";
import { distributionOf, isInUnitRange } from "./distribution.ts";
import { type Inference, infer } from "./infer.ts";
import { joinedParts } from "./output-parts.ts";

const vectorNames = /embedding|hidden_state|pooler_output|features?$/i;

const classNames = /logits?|scores?|prob/i;

/** Output names that exporters use for unbounded values, such as regressions and coordinates. */
const numberNames =
  /regress|^variable$|^(continuous_)?actions?$|landmark|keypoint|coord|(^|_)(pose|angles?|mu|mean|std)$/i;

/** Returns whether a label of one class per sample cannot be compared with the output. */
export function hasNonClassOutput(model: Model): boolean {
  if (["boxes", "detections"].includes(outputKind(model, undefined))) return true;
  return hasManyPositions(mainOutput(model.graph.outputs)?.type?.dims);
}

/** "labels": probabilities of labels that are independent of each other; "detections": boxes and their scores in one output. */
export type OutputKind = "boxes" | "detections" | "vector" | "class" | "classes" | "labels" | "number" | "image";

/** Guesses what an output contains from its name, type, shape and operators. */
export function outputKind(model: Model, output: string | undefined): OutputKind {
  return guessKind(model, output).kind;
}

/** Returns the output if it is only assumed to hold scores of classes or labels. */
export function assumedScores(model: Model, output: string | undefined): Value | undefined {
  return guessKind(model, output).isAssumed === true ? mainOutput(model.graph.outputs, output) : undefined;
}

function guessKind(model: Model, output: string | undefined): { readonly kind: OutputKind; readonly isAssumed?: true } {
  const names = model.graph.outputs.map((value) => value.name);
  if (output === undefined && names.includes("boxes") && names.includes("scores")) return { kind: "boxes" };
  const inference = infer(model);
  const main = mainOutput(model.graph.outputs, output);
  if (main === undefined) return { kind: "classes" };
  if (vectorNames.test(main.name)) return { kind: "vector" };
  const operand = inference.operand(main);
  const dims = operand?.dims;
  if (operand !== undefined && !isFloat(operand.type) && operand.type !== "int8" && operand.type !== "uint8")
    return { kind: "class" };
  if (dims === undefined) return { kind: "classes", isAssumed: true };
  // One score per sample, or per step of a sequence, is a number. A symbolic size here is a sequence length.
  const sizes = dims.slice(1);
  if (sizes.every((dim, index) => dim === 1 || (typeof dim !== "number" && index < sizes.length - 1)))
    return { kind: "number" };
  // If a second axis has the batch size, the output contains similarities between samples.
  if (typeof dims[0] !== "number" && sizes.some((dim) => dim === dims[0])) return { kind: "number" };
  if (distributionOf(main, inference) !== undefined) return { kind: "classes" };
  if (detectionForm(model, main, inference) !== undefined) return { kind: "detections" };
  const isNamed = classNames.test(main.name);
  const isNumber = numberNames.test(main.name) || isLikeInput(model, dims);
  if (typeof dims[1] === "number" && dims.length === 2 && isInUnitRange(main, inference) && (isNamed || !isNumber))
    return isNamed ? { kind: "labels" } : { kind: "labels", isAssumed: true };
  if (isNamed) return { kind: "classes" };
  if (isImage(dims)) return { kind: "image" };
  // Scores concatenated with boxes are the unprocessed output of a detector.
  if (hasManyPositions(dims) && joinedParts(model, inference).has(main)) return { kind: "number" };
  // An output [samples, steps, 1] has one number per step.
  if (dims.length === 3 && dims[2] === 1) return { kind: "number" };
  if (numberNames.test(main.name) || hasNegativeBound(main, inference)) return { kind: "number" };
  return hasClassAxis(dims) && !isLikeInput(model, dims) ? { kind: "classes", isAssumed: true } : { kind: "number" };
}

/** Returns whether a function with a negative lower bound (tanh) computes a value. Class scores have none. */
function hasNegativeBound(value: Value, inference: Inference): boolean {
  for (const { bound } of contentProducers(value, inference, true)) {
    const [low = 0] = bound.saturates() ?? [];
    if (low < 0) return true;
  }
  return false;
}

function hasManyPositions(dims: readonly Dim[] | undefined): boolean {
  return (dims?.slice(1) ?? []).filter((dim) => typeof dim === "number" && dim > 1).length > 1;
}

/** Returns whether the class axis (the last axis, or axis 1 of feature maps) has a fixed size. */
function hasClassAxis(dims: readonly Dim[]): boolean {
  return typeof dims.at(-1) === "number" || (dims.length > 3 && typeof dims[1] === "number");
}

/** Returns whether the dimensions after the first equal those of a float input, as in denoising. */
function isLikeInput({ graph }: Model, dims: readonly Dim[]): boolean {
  return graph.feeds.some(({ type }) => {
    if (type?.dims?.length !== dims.length || !isFloat(type.type)) return false;
    return type.dims.every((dim, axis) => axis === 0 || dim === dims[axis]);
  });
}

/** Returns whether the dimensions are those of an image: 1 or 3 channels, first or last. */
function isImage([, ...dims]: readonly Dim[]): boolean {
  const [first, ...rest] = dims;
  const last = dims.at(-1);
  const areColors = (planes: Dim | undefined, extent: readonly Dim[]): boolean =>
    (planes === 1 || planes === 3) && extent.every((dim) => dim !== 1);
  return dims.length === 3 && (areColors(first, rest) || areColors(last, dims.slice(0, 2)));
}

export function mainOutput(outputs: readonly Value[], name?: string): Value | undefined {
  if (name !== undefined) return outputs.find((output) => output.name === name);
  return (
    outputs.find((output) => output.name === "logits") ??
    outputs.find(({ type }) => isFloat(type?.type ?? "string")) ??
    outputs.find(({ type }) => type !== undefined) ??
    outputs[0]
  );
}
