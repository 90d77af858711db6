/**
 * What numbers a model's inputs should hold, as its graph tells: indices within the tables that they index, what a clip lets through, numbers of
 * the size that the first layer takes.
 *
 *     x = Div(Cast(pixels), 255);  y = Conv(x, w)        pixels: about 0 … 510
 *     h = Gather(words, ids)                             ids: 0 … rows - 1
 *
 * One walk from the last node to the first: entries say what they want of their inputs, given what is wanted of their output. What only moves
 * numbers hands it on; what scales and shifts them, by the inverse.
 */
import { Miss } from "../errors.ts";
import { type Graph, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Affine, Bound, Wanted, WantedInterval } from "../ops/define.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { addDims } from "../tensor/dims.ts";
import type { Inference } from "./infer.ts";

/** What a layer's data is taken to be: four deviations of numbers with mean 0 and deviation 1. */
const unit: WantedInterval = { low: -2, high: 2, strict: false };
/** More than this is wanted of no value: a table that is looked up a hundred times is one interval. */
const most = 16;

/** What is wanted of each input of a model, by name; nothing for those that the graph tells nothing of. */
export function wantedInputs(model: Model, inference: Inference): ReadonlyMap<string, readonly WantedInterval[]> {
  const wanted = new Map<Value, WantedInterval[]>();
  walk(model.graph, inference, wanted);
  return new Map(
    model.graph.feeds.flatMap((feed) => {
      const found = wanted.get(feed);
      return found === undefined ? [] : [[feed.name, found] as const];
    }),
  );
}

function walk(graph: Graph, inference: Inference, wanted: Map<Value, WantedInterval[]>): void {
  for (const node of [...graph.nodes()].reverse()) {
    for (const inner of subgraphs(node)) walk(inner, inference, wanted);
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    for (const { input, ...interval } of wantsOf(node, bound, wanted, inference)) {
      const value = node.inputs[input];
      if (value === undefined || inference.operand(value)?.stored === true) continue;
      const known = wanted.get(value) ?? [];
      if (known.length < most && !known.some((other) => same(other, interval))) wanted.set(value, [...known, interval]);
    }
  }
}

function same(a: WantedInterval, b: WantedInterval): boolean {
  return a.low === b.low && a.high === b.high && a.strict === b.strict;
}

function wantsOf(
  node: Node,
  bound: Bound,
  wanted: ReadonlyMap<Value, readonly WantedInterval[]>,
  inference: Inference,
): readonly Wanted[] {
  const outputs = node.outputs.map((value) => (value === undefined ? [] : (wanted.get(value) ?? [])));
  const [output = []] = outputs;
  const own = [...bound.wants(output), ...dataOfLayers(node, bound, inference)];
  const unchanged = bound.unchanged();
  if (unchanged !== undefined) return [...own, ...output.map((interval) => ({ input: unchanged, ...interval }))];
  const affine = bound.affine();
  if (!(affine instanceof Miss)) return [...own, ...beforeScaling(node, affine, output, inference)];
  const rule = bound.quantize();
  if (rule instanceof Miss || rule.kind !== "transparent") return own;
  const all = outputs.flat();
  const [type] = node.outputs.map((value) => (value === undefined ? undefined : inference.operand(value)?.type));
  const moved = node.inputs.flatMap((value, input) =>
    value !== undefined && inference.operand(value)?.type === type
      ? all.map((interval) => ({ input, ...interval }))
      : [],
  );
  return [...own, ...moved];
}

function dataOfLayers(node: Node, bound: Bound, inference: Inference): readonly Wanted[] {
  const roles = bound.weights();
  if (roles instanceof Miss) return [];
  return roles.flatMap(({ data }) => {
    const value = node.inputs[data];
    const type = value === undefined ? undefined : inference.operand(value)?.type;
    return type !== undefined && isFloat(type) ? [{ input: data, ...unit }] : [];
  });
}

/** x = (y - shift) / scale, on average over channels; where a normalization says what x was like, that. */
function beforeScaling(
  node: Node,
  { data, inputs, of, statistics }: Affine,
  output: readonly WantedInterval[],
  inference: Inference,
): readonly Wanted[] {
  const numbers = (input: number): Float64Array | undefined => {
    const value = node.inputs[input];
    const small = value === undefined ? undefined : inference.operand(value)?.small;
    return small === undefined || small.type === "string" ? undefined : toFloat64(small);
  };
  if (statistics !== undefined) {
    const [mean, variance] = [numbers(statistics.mean), numbers(statistics.variance)].map(average);
    if (mean === undefined || variance === undefined) return [];
    const reach = 2 * Math.sqrt(Math.max(0, variance));
    return reach > 0 ? [{ input: data, low: mean - reach, high: mean + reach, strict: false }] : [];
  }
  const vectors = inputs.map(numbers);
  if (!vectors.every((vector) => vector !== undefined)) return [];
  const found = of(vectors);
  const [scale, shift] = [average(found.scale) ?? 1, average(found.shift) ?? 0];
  if (!Number.isFinite(scale) || !Number.isFinite(shift) || scale === 0) return [];
  return output.flatMap(({ low, high, strict }): Wanted[] => {
    if (scale === 1 && Number.isInteger(shift))
      return [{ input: data, low: addDims(low, -shift), high: addDims(high, -shift), strict }];
    if (typeof low !== "number" || typeof high !== "number") return [];
    const ends = [(low - shift) / scale, (high - shift) / scale];
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    return [
      strict
        ? { input: data, low: Math.ceil(first), high: Math.floor(last), strict }
        : { input: data, low: first, high: last, strict },
    ];
  });
}

function average(numbers: Float64Array | undefined): number | undefined {
  if (numbers === undefined || numbers.length === 0) return undefined;
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
