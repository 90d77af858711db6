/** What the outputs of a model are, by their names, types and dimensions. */

import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { type Dim, elementCount } from "../tensor/dims.ts";
import { distributionOf } from "./distribution.ts";
import { type Inference, infer } from "./infer.ts";
import { makersOf } from "./makers.ts";

/** Names that exporters give to embeddings. */
const vectorNames = /embedding|hidden_state|pooler_output|features?$/i;

/** Names that exporters give to scores of classes. */
const classNames = /logits?|scores?|prob/i;

/** Names that exporters give to numbers of any size: of regressions (scikit-learn's "variable"), of policies, of places. */
const numberNames =
  /regress|^variable$|^(continuous_)?actions?$|landmark|keypoint|coord|(^|_)(pose|angles?|mu|mean|std)$/i;

/** Whether one class per sample cannot be the label of a model's output: boxes, or numbers at many positions. */
export function isBeyondClasses(model: Model): boolean {
  if (outputKind(model, undefined) === "boxes") return true;
  return answersAtPlaces(mainOutput(model.graph.outputs)?.type?.dims);
}

export type OutputKind = "boxes" | "vector" | "class" | "classes" | "number" | "image";

export function outputKind(model: Model, output: string | undefined): OutputKind {
  return answerOf(model, output).kind;
}

/**
 * The output that is taken for scores of classes though nothing says so: neither its name, nor the operator that makes it. A regression of
 * several numbers looks the same.
 */
export function assumedScores(model: Model, output: string | undefined): Value | undefined {
  return answerOf(model, output).assumed === true ? mainOutput(model.graph.outputs, output) : undefined;
}

interface Answer {
  readonly kind: OutputKind;
  readonly assumed?: true;
}

function answerOf(model: Model, output: string | undefined): Answer {
  const names = model.graph.outputs.map((value) => value.name);
  if (output === undefined && names.includes("boxes") && names.includes("scores")) return { kind: "boxes" };
  const inference = infer(model);
  const found = mainOutput(model.graph.outputs, output);
  if (found === undefined) return { kind: "classes" };
  if (vectorNames.test(found.name)) return { kind: "vector" };
  const operand = inference.operand(found);
  const known = operand?.dims;
  if (operand !== undefined && !isFloat(operand.type) && operand.type !== "int8" && operand.type !== "uint8")
    return { kind: "class" };
  if (known === undefined) return { kind: "classes", assumed: true };
  // One score per sample is a number, not classes.
  if (known.slice(1).every((dim) => dim === 1)) return { kind: "number" };
  // Similarities between the samples of a batch: one number for a single sample.
  if (typeof known[0] !== "number" && known.slice(1).some((dim) => dim === known[0])) return { kind: "number" };
  if (distributionOf(found, inference) !== undefined || classNames.test(found.name)) return { kind: "classes" };
  if (isImage(known)) return { kind: "image" };
  // Scores concatenated with boxes: the raw output of a detector.
  if (answersAtPlaces(known) && isJoined(found, inference)) return { kind: "number" };
  if (numberNames.test(found.name) || isBetweenSigns(found, inference)) return { kind: "number" };
  return hasClassAxis(known) && !isLikeInput(model, known) ? { kind: "classes", assumed: true } : { kind: "number" };
}

/** Whether an operator with bounds of both signs makes a value, perhaps scaled and shifted since: actions and joints lie between them, scores do not. */
function isBetweenSigns(value: Value, inference: Inference): boolean {
  for (const { bound } of makersOf(value, inference, true)) {
    const [low = 0] = bound.saturates() ?? [];
    if (low < 0) return true;
  }
  return false;
}

/** Whether the known sizes show numbers at several positions of a sample. */
function answersAtPlaces(dims: readonly Dim[] | undefined): boolean {
  return (dims?.slice(1) ?? []).filter((dim) => typeof dim === "number" && dim > 1).length > 1;
}

/** Whether an output concatenates several values, perhaps reshaped: their sizes add up to its own. */
function isJoined(output: Value, inference: Inference): boolean {
  const elements = (value: Value): number | undefined => countOf(inference.operand(value)?.dims);
  let current = output;
  for (let { producer } = current; producer !== undefined; { producer } = current) {
    const parts = producer.inputs.flatMap((input) => (input === undefined ? [] : [input]));
    const [first] = parts;
    if (first === undefined) return false;
    const whole = elements(current);
    const sizes = parts.map(elements);
    const numbers = parts.filter((part) => isFloat(inference.operand(part)?.type ?? "string"));
    const sum = sizes.reduce((total: number, size) => total + (size ?? Number.NaN), 0);
    if (parts.length > 1 && numbers.length === parts.length && sum === whole) return true;
    if (whole === undefined || sizes[0] !== whole || numbers.length !== 1) return false;
    current = first;
  }
  return false;
}

function countOf(dims: readonly Dim[] | undefined): number | undefined {
  const sizes = dims?.slice(1).filter((dim) => typeof dim === "number");
  return dims === undefined || sizes === undefined || sizes.length < dims.length - 1 ? undefined : elementCount(sizes);
}

/** Whether the axis of classes has a fixed size: the last axis or, of maps, axis 1. A symbolic size is a length. */
function hasClassAxis(dims: readonly Dim[]): boolean {
  return typeof dims.at(-1) === "number" || (dims.length > 3 && typeof dims[1] === "number");
}

/** Whether the dimensions are those of an input of floats, which is then denoised, masked or reconstructed. */
function isLikeInput({ graph }: Model, dims: readonly Dim[]): boolean {
  return graph.feeds.some(({ type }) => {
    if (type?.dims?.length !== dims.length || !isFloat(type.type)) return false;
    return type.dims.every((dim, axis) => axis === 0 || dim === dims[axis]);
  });
}

/** One or three channels, first or last; scores for each pixel have as many channels as classes. */
function isImage([, ...dims]: readonly Dim[]): boolean {
  const [first, ...others] = dims;
  const last = dims.at(-1);
  const colours = (planes: Dim | undefined, extent: readonly Dim[]): boolean =>
    (planes === 1 || planes === 3) && extent.every((dim) => dim !== 1);
  return dims.length === 3 && (colours(first, others) || colours(last, dims.slice(0, 2)));
}

/** The output of this name, else "logits", else the first of floats, else the first tensor, else the first; of outputs whose types are inferred. */
export function mainOutput(outputs: readonly Value[], wanted?: string): Value | undefined {
  if (wanted !== undefined) return outputs.find(({ name }) => name === wanted);
  return (
    outputs.find(({ name }) => name === "logits") ??
    outputs.find(({ type }) => isFloat(type?.type ?? "string")) ??
    outputs.find(({ type }) => type !== undefined) ??
    outputs[0]
  );
}
