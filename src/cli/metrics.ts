/** Metrics by the names that flags call them, and which of them a model's answer asks for. */
import * as v from "valibot";
import { dataDependentSizes } from "../analysis/data-dependent-sizes.ts";
import { distributionOf } from "../analysis/distribution.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { enlargement } from "../data/index.ts";
import { PithError } from "../errors.ts";
import {
  accuracy,
  agreement,
  boxOverlap,
  cosine,
  crossEntropy,
  determination,
  leastSamples,
  type Metric,
  type MetricOptions,
  macroF1,
  matthews,
  meanKl,
  meanSquaredError,
  neighbourOverlap,
  peakSignalToNoise,
  perplexity,
  rankCorrelation,
  signalToNoise,
  topK,
} from "../evaluate/index.ts";
import { isShare } from "../evaluate/saturation.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { type Dim, elementCount } from "../tensor/dims.ts";
import type { Meanings } from "./accepted.ts";

const named = {
  accuracy,
  "top-5": (options: MetricOptions) => topK(5, options),
  "cross-entropy": crossEntropy,
  perplexity,
  f1: macroF1,
  matthews,
  "mean-squared-error": meanSquaredError,
  psnr: peakSignalToNoise,
  "rank-correlation": rankCorrelation,
  agreement,
  "r-squared": determination,
  "signal-to-noise": signalToNoise,
  cosine,
  "same-top-10": (options: MetricOptions) => neighbourOverlap(10, options),
  "box-overlap": () => boxOverlap(),
} as const satisfies Readonly<Record<string, (options: MetricOptions) => Metric>>;

export type MetricName = keyof typeof named;

export const metricNames = Object.keys(named) as [MetricName, ...MetricName[]];

const meanings: Meanings = {
  title: "Metrics (--metric), explained in docs/data.md",
  rows: [
    ["of classes", "accuracy, top-5, cross-entropy, perplexity, f1, matthews"],
    ["of numbers", "mean-squared-error, rank-correlation; of images psnr"],
    ["without labels", "agreement, r-squared, signal-to-noise, cosine, same-top-10, box-overlap"],
  ],
};

const group = "Evaluation:";

/** Entries for the schema of a command that measures. */
export const metricFlags = {
  metric: v.optional(
    v.pipe(
      v.picklist(metricNames),
      v.description("metric to judge by; without labels, a comparison with the original"),
      v.metadata({ group, meanings }),
    ),
    "accuracy",
  ),
  output: v.optional(
    v.pipe(
      v.string(),
      v.description('output to evaluate (default: "logits", else the first float output)'),
      v.metadata({ value: "name", group }),
    ),
  ),
};

/** Entries for the schema of a command that refuses what lost too much: one rule for all of them (`judge`). */
export const goalFlags = {
  maxDrop: v.optional(
    v.pipe(
      v.number(),
      v.minValue(0),
      v.description("largest loss allowed against the original, or the teacher (default: 1%; docs/verdicts.md)"),
      v.metadata({ group }),
    ),
  ),
  strict: v.optional(
    v.pipe(
      v.boolean(),
      v.description("require the whole 95 % interval to stay within --max-drop"),
      v.metadata({ group }),
    ),
  ),
  force: v.optional(v.pipe(v.boolean(), v.description("write the result whatever its metrics"), v.metadata({ group }))),
};

/** @throws PithError E_OPTION for a drop that would allow any loss: of a share, 1 is all there is. */
export function requireMeaningfulDrop(maxDrop: number | undefined, metric: MetricName): void {
  if (maxDrop === undefined || maxDrop < 1 || named[metric]({}).unit !== "share") return;
  const points = maxDrop === 1 ? "one point" : `${maxDrop} points`;
  throw new PithError(
    "E_OPTION",
    `--max-drop ${maxDrop} would allow any loss: write ${maxDrop}% (${points}) or ${maxDrop / 100}.`,
  );
}

export interface Judging {
  /** Whether samples have labels. */
  readonly labelled: boolean;
  /** Whether there is an original to compare the model with. */
  readonly held?: boolean;
}

/**
 * What a model is judged by: the figure asked for, where the data can tell it. Without labels the model is held against its original by
 * what its answer is: boxes, vectors, or scores of classes.
 */
export function judgedBy(
  model: Model,
  name: MetricName,
  output: string | undefined,
  { labelled, held = true }: Judging,
): Metric {
  const metric = named[name](readingOf(model, output));
  // The labels of a network that enlarges pictures are pictures: there are no classes to be right about.
  if (labelled && name === "accuracy" && enlargement(model.graph) !== undefined)
    return held ? determination(readingOf(model, output)) : peakSignalToNoise(readingOf(model, output));
  if (labelled || metric.truth === "original") return metric;
  const [first = agreement(output === undefined ? {} : { output })] = heldAgainst(model, output);
  return first;
}

/** What a model is held against its original by, most telling first, on so many samples. */
export function heldAgainst(
  model: Model,
  output: string | undefined,
  samples = Number.POSITIVE_INFINITY,
): readonly Metric[] {
  const options = readingOf(model, output);
  switch (answerKind(model, output)) {
    case "boxes":
      // Where each model finds boxes of its own number there are no pairs of numbers.
      return [boxOverlap(), ...(dataDependentSizes(model)("boxes") ? [] : [signalToNoise({ output: "boxes" })])];
    case "vector":
      return [
        cosine(options),
        ...(samples < leastSamples(10) ? [] : [neighbourOverlap(10, options)]),
        signalToNoise(options),
      ];
    case "number":
    case "picture":
      return [determination(options), signalToNoise(options)];
    case "class":
      return [agreement(options)];
    case "classes":
      return [agreement(options), meanKl(options), signalToNoise(options)];
  }
}

/**
 * Which output counts, and what it is: probabilities where the graph says so, even if their sum is not 1 any more after they were rounded.
 * Elsewhere the numbers tell.
 */
export function readingOf(model: Model, output: string | undefined): MetricOptions {
  const asked = output === undefined ? {} : { output };
  const value = model.graph.outputs.find(({ name }) => name === answerOutput(model, output));
  if (value === undefined) return asked;
  const inference = infer(model);
  // One number of a sigmoid is the probability of the second class.
  const isBinary = value.type?.dims?.at(-1) === 1 && isShare(value, inference);
  return isBinary || distributionOf(value, inference) === "probabilities" ? { ...asked, from: "probabilities" } : asked;
}

/** @throws PithError E_OPTION for a demand on a figure that will not be measured against this original, as its outputs tell. */
export function requireMeasured(
  original: Model,
  path: string,
  asked: { readonly demanded?: readonly string[]; readonly metric: MetricName; readonly output: string | undefined },
): void {
  const { demanded = [] } = asked;
  const held: readonly Metric[] = demanded.length === 0 ? [] : heldAgainst(original, asked.output);
  for (const kind of demanded) {
    const measured = kind === "accuracy" || kind === asked.metric || held.some(({ name }) => name === kind);
    if (measured) continue;
    const names = held.map(({ name }) => name).join(", ");
    throw new PithError("E_OPTION", `--min-${kind} cannot be judged: what "${path}" answers is measured by ${names}.`, {
      hint: `--metric ${kind} measures it, whatever the output is called.`,
    });
  }
}

/** Names that exporters give to vectors of meaning. */
const vectorNames = /embedding|hidden_state|pooler_output|features?$/i;

/** Names that exporters give to scores of classes. */
const classNames = /logits?|scores?|prob/i;

/** Whether one class a sample is no truth for what a model answers: boxes, or numbers at many places. */
export function isBeyondClasses(model: Model): boolean {
  if (answerKind(model, undefined) === "boxes") return true;
  const found = model.graph.outputs.find(({ name }) => name === answerOutput(model, undefined));
  return answersAtPlaces(found === undefined ? undefined : infer(model).operand(found)?.dims);
}

/** What a model answers with, as far as the names and dimensions of its outputs tell. */
export function answerKind(
  model: Model,
  output: string | undefined,
): "boxes" | "vector" | "class" | "classes" | "number" | "picture" {
  const names = model.graph.outputs.map((value) => value.name);
  if (output === undefined && names.includes("boxes") && names.includes("scores")) return "boxes";
  const answer = answerOutput(model, output);
  if (answer === undefined) return "classes";
  if (vectorNames.test(answer)) return "vector";
  const found = model.graph.outputs.find(({ name }) => name === answer);
  const inference = infer(model);
  const operand = found === undefined ? undefined : inference.operand(found);
  const known = operand?.dims;
  if (operand !== undefined && !isFloat(operand.type) && operand.type !== "int8" && operand.type !== "uint8")
    return "class";
  if (found === undefined || known === undefined) return "classes";
  // One score a sample is a number: nothing is chosen among classes.
  if (known.slice(1).every((dim) => dim === 1)) return "number";
  // How near each sample is to each other one in the batch: alone it is one number.
  if (typeof known[0] !== "number" && known.slice(1).some((dim) => dim === known[0])) return "number";
  if (distributionOf(found, inference) !== undefined || classNames.test(answer)) return "classes";
  if (isPicture(known)) return "picture";
  // Beside scores there are boxes, say: a detector's raw output.
  if (answersAtPlaces(known) && isJoined(found, inference)) return "number";
  return hasClassAxis(known) && !isLikeInput(model, known) ? "classes" : "number";
}

/** Numbers at many places of a sample, as far as sizes are known: for them a class of the sample is no truth. */
function answersAtPlaces(dims: readonly Dim[] | undefined): boolean {
  return (dims?.slice(1) ?? []).filter((dim) => typeof dim === "number" && dim > 1).length > 1;
}

/** Whether parts lie beside each other in an output, reshaped or not: their sizes along one axis add up to its. */
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

/** Elements of a sample. */
function countOf(dims: readonly Dim[] | undefined): number | undefined {
  const sizes = dims?.slice(1).filter((dim) => typeof dim === "number");
  return dims === undefined || sizes === undefined || sizes.length < dims.length - 1 ? undefined : elementCount(sizes);
}

/** Classes have a number that the file says: along the last axis or, of planes, along axis 1. A length that is free counts time. */
function hasClassAxis(dims: readonly Dim[]): boolean {
  return typeof dims.at(-1) === "number" || (dims.length > 3 && typeof dims[1] === "number");
}

/** What has the dimensions of an input of floats is that input in another form: cleaned, masked, reconstructed. */
function isLikeInput({ graph }: Model, dims: readonly Dim[]): boolean {
  return graph.feeds.some(({ type }) => {
    if (type?.dims?.length !== dims.length || !isFloat(type.type)) return false;
    return type.dims.every((dim, axis) => axis === 0 || dim === dims[axis]);
  });
}

/** Planes of grey or of three colours, first or last. Scores of classes for each pixel have as many planes as classes. */
function isPicture([, ...dims]: readonly Dim[]): boolean {
  const [first, ...others] = dims;
  const last = dims.at(-1);
  const colours = (planes: Dim | undefined, extent: readonly Dim[]): boolean =>
    (planes === 1 || planes === 3) && extent.every((dim) => dim !== 1);
  return dims.length === 3 && (colours(first, others) || colours(last, dims.slice(0, 2)));
}

/** The output that `answerName` takes, as far as the graph tells types. */
function answerOutput(model: Model, output: string | undefined): string | undefined {
  if (output !== undefined) return output;
  const { outputs } = model.graph;
  const inference = infer(model);
  const hasFloats = (value: Value): boolean => isFloat(inference.operand(value)?.type ?? value.type?.type ?? "string");
  const tensors = outputs.filter(
    (value) => value.foreign === undefined && inference.operand(value)?.container === undefined,
  );
  return (outputs.find(({ name }) => name === "logits") ?? tensors.find(hasFloats) ?? tensors[0] ?? outputs[0])?.name;
}
