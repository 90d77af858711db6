/**
 * Infers the ranges of values that a model's inputs should have, to make plausible synthetic samples:
 *      x = Div(Cast(pixels), 255);  y = Conv(x, w)        pixels: about -510 … 510
 *      h = Gather(words, ids)                             ids: 0 … rows - 1
 */
import { addDims, type Graph, isFloat, Miss, type Model, type Node, subgraphs, toFloat64, type Value } from "#graph";
import type { Affine, BoundOp, InputRange, ValueInterval, WeightRole } from "../ops/define.ts";
import type { Inference } from "./infer.ts";

const maxIntervals = 16;

/** Returns the required intervals of model inputs by name. */
export function requiredIntervals(model: Model, inference: Inference): ReadonlyMap<string, readonly ValueInterval[]> {
  const needs = new Map<Value, ValueInterval[]>();
  collectNeeds(model.graph, inference, needs);
  return new Map(
    model.graph.feeds.flatMap((feed) => {
      const intervals = needs.get(feed);
      return intervals === undefined ? [] : [[feed.name, intervals] as const];
    }),
  );
}

function collectNeeds(graph: Graph, inference: Inference, needs: Map<Value, ValueInterval[]>): void {
  for (const node of [...graph.nodes()].reverse()) {
    for (const inner of subgraphs(node)) collectNeeds(inner, inference, needs);
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    for (const { input, ...interval } of requirementsOf(node, bound, needs, inference)) {
      const value = node.inputs[input];
      if (value === undefined || inference.operand(value)?.stored === true) continue;
      const recorded = needs.get(value) ?? [];
      const { low, high, strict } = interval;
      const isRecorded = recorded.some((other) => other.low === low && other.high === high && other.strict === strict);
      if (recorded.length < maxIntervals && !isRecorded) needs.set(value, [...recorded, interval]);
    }
  }
}

function requirementsOf(
  node: Node,
  bound: BoundOp,
  needs: ReadonlyMap<Value, readonly ValueInterval[]>,
  inference: Inference,
): readonly InputRange[] {
  const outputs = node.outputs.map((value) => (value === undefined ? [] : (needs.get(value) ?? [])));
  const [output = []] = outputs;
  const direct = [...bound.wants(output), ...layerDataRequirements(node, bound, inference)];
  const unchangedInput = bound.unchanged();
  if (unchangedInput !== undefined)
    return [...direct, ...output.map((interval) => ({ input: unchangedInput, ...interval }))];
  const affine = bound.affine();
  if (!(affine instanceof Miss)) return [...direct, ...requirementsBeforeScaling(node, affine, output, inference)];
  const rule = bound.quantize();
  if (rule instanceof Miss || rule.kind !== "transparent") return direct;
  const intervals = outputs.flat();
  const [type] = node.outputs.map((value) => (value === undefined ? undefined : inference.operand(value)?.type));
  const rearrangedRanges = node.inputs.flatMap((value, input) =>
    value !== undefined && inference.operand(value)?.type === type
      ? intervals.map((interval) => ({ input, ...interval }))
      : [],
  );
  return [...direct, ...rearrangedRanges];
}

/** Returns the ranges for the data inputs of layers: ± 2 standard deviations around 0. */
function layerDataRequirements(node: Node, bound: BoundOp, inference: Inference): readonly InputRange[] {
  const roles = bound.weights();
  if (roles instanceof Miss) return [];
  return roles.flatMap((role): InputRange[] => {
    const value = node.inputs[role.data];
    const type = value === undefined ? undefined : inference.operand(value)?.type;
    if (type === undefined || !isFloat(type)) return [];
    const scale = estimateDataDeviation(node, role, inference);
    return [{ input: role.data, low: -2 * scale, high: 2 * scale, strict: false }];
  });
}

/** The assumed maximum ratio of a bias to the values that it is added to. */
const maxBias = 8;

/** Estimates the standard deviation of a layer's training data from its bias or a following normalization. */
function estimateDataDeviation(node: Node, { input, out, bias }: WeightRole, inference: Inference): number {
  const weight = node.inputs[input];
  const outputs = weight === undefined ? undefined : inference.operand(weight)?.dims?.[out];
  const numbers = numbersOf(node, input, inference);
  if (numbers === undefined || typeof outputs !== "number") return 1;
  const deviation = rootMeanSquare(numbers) * Math.sqrt(numbers.length / outputs);
  const shift = rootMeanSquare(bias === undefined ? undefined : numbersOf(node, bias, inference));
  const requiredDeviation = Math.max(
    shift,
    ...[...(node.outputs[0]?.uses ?? [])].map((use) => normalizedDeviation(use.node, inference)),
  );
  return deviation > 0 && requiredDeviation > maxBias * deviation ? requiredDeviation / deviation : 1;
}

function normalizedDeviation(node: Node, inference: Inference): number {
  const statistics = inference.facet(node, "affine")?.statistics;
  if (statistics === undefined) return 0;
  return Math.sqrt(Math.max(0, average(numbersOf(node, statistics.variance, inference)) ?? 0));
}

function numbersOf(node: Node, input: number, inference: Inference): Float64Array | undefined {
  const value = node.inputs[input];
  const small = value === undefined ? undefined : inference.operand(value)?.small;
  return small === undefined || small.type === "string" ? undefined : toFloat64(small);
}

function rootMeanSquare(numbers: Float64Array | undefined): number {
  return Math.sqrt(average(numbers?.map((number) => number * number)) ?? 0);
}

/** Maps the range of an affine node's output to its input by x = (y − shift) / scale, averaged over channels. */
function requirementsBeforeScaling(
  node: Node,
  { dataInput, inputs, of, statistics }: Affine,
  output: readonly ValueInterval[],
  inference: Inference,
): readonly InputRange[] {
  const numbers = (input: number): Float64Array | undefined => numbersOf(node, input, inference);
  if (statistics !== undefined) {
    const [mean, variance] = [numbers(statistics.mean), numbers(statistics.variance)].map(average);
    if (mean === undefined || variance === undefined) return [];
    const halfWidth = 2 * Math.sqrt(Math.max(0, variance));
    return halfWidth > 0 ? [{ input: dataInput, low: mean - halfWidth, high: mean + halfWidth, strict: false }] : [];
  }
  const vectors = inputs.map(numbers);
  if (!vectors.every((vector) => vector !== undefined)) return [];
  const affine = of(vectors);
  const [scale, shift] = [average(affine.scale) ?? 1, average(affine.shift) ?? 0];
  if (!Number.isFinite(scale) || !Number.isFinite(shift) || scale === 0) return [];
  return output.flatMap(({ low, high, strict }): InputRange[] => {
    if (scale === 1 && Number.isInteger(shift))
      return [{ input: dataInput, low: addDims(low, -shift), high: addDims(high, -shift), strict }];
    if (typeof low !== "number" || typeof high !== "number") return [];
    const ends = [(low - shift) / scale, (high - shift) / scale];
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    return [
      strict
        ? { input: dataInput, low: Math.ceil(first), high: Math.floor(last), strict }
        : { input: dataInput, low: first, high: last, strict },
    ];
  });
}

function average(numbers: Float64Array | undefined): number | undefined {
  if (numbers === undefined || numbers.length === 0) return undefined;
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
