/**
 * Arithmetic on integers: each layer by itself, on its own inputs in the original, run as ONNX Runtime fuses it. A layer L is linear in its data
 * x and in its weight W, and rounding moves them by dx and dW at most, so that
 *
 *     |L(x + dx, W + dW) - L(x, W)| ≤ L(|x| + dx, dW) + L(dx, |W|)
 *
 * entry by entry, with the very layer computing the bound; then its bias and its output are rounded.
 */

import { type Inference, infer } from "../../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../../src/core/analysis/layers.ts";
import { Miss } from "../../../src/core/errors.ts";
import { extract } from "../../../src/core/graph/extract.ts";
import type { Node, Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { movedFactors } from "../../../src/core/pass/pass.ts";
import { toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import { type Dataset, memory } from "../../../src/data/index.ts";
import { foldConstants } from "../../../src/rewrite/clean-up/fold-constants.ts";
import { fuseBatchNorms } from "../../../src/rewrite/clean-up/fuse-batch-norm.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored.ts";
import { largestDifference } from "../../../src/runtime/run/difference.ts";
import { equalize, quantize } from "../../../src/techniques/quantize/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSentences, expectThat, ownRounding, refused } from "../runs.ts";
import { expectSameShapes, type Promised, samplesOf, type Weight, weights, withWeights } from "./promised.ts";
import { mostMoved } from "./quantizing.ts";

type Scheme = "dynamic" | "static";

export const integers: readonly Promised[] = [
  ...(
    [
      ["dynamic", {}],
      ["static", {}],
      ["static", { activations: "int8" }],
    ] as const
  ).map(([scheme, options]) => ({
    name: ["quantize", scheme, ...Object.values(options)].join(" "),
    async keep(network: Network): Promise<void> {
      const data = samplesOf(network, 2, 9);
      if (scheme === "static" && data === undefined) return;
      const result = network.model.clone();
      // A weight is a weight, wherever the exporter put it: layers are named with it.
      storeWeights(result);
      const names = new Set(layers(result, infer(result)).map(({ name }) => name));
      const outcome = await quantized(result, scheme, data, options);
      if (outcome instanceof Miss) return;
      await expectSameShapes(network, await answers(result, batchesOf(network)));
      const left = new Set(layers(result, infer(result)).map(({ name }) => name));
      for (const name of names) expectThat(left.has(name), `layer "${name}" is gone`);
    },
  })),
  {
    name: "quantize static of 16 bits computes what its weights give",
    async keep(network: Network): Promise<void> {
      const feeds = samplesOf(network, 2, 9);
      if (feeds === undefined) return;
      const original = await prepared(network);
      const result = original.clone();
      const outcome = await quantized(result, "static", feeds, { activations: "uint16" });
      if (outcome instanceof Miss || outcome.changes.length === 0) return;
      const changed = new Set(outcome.changes.map(({ at }) => at));
      const [before, after] = [factors(original), factors(result)];
      const numbers = [...(await weights(result))].flatMap(([name, { numbers }]) => {
        // What scales the product of a layer goes into its weight.
        const factor = (after.get(name) ?? 1) / (before.get(name) ?? 1);
        return changed.has(name) ? [[name, numbers.map((number) => factor * number)] as const] : [];
      });
      const same = await withWeights(original, new Map(numbers));
      if (same === undefined) return;
      const [[expected], [got], moved] = [
        await answers(same, [feeds], false),
        await answers(result, [feeds], false),
        await ownRounding(same, [feeds], 1e-3),
      ];
      for (const [name, dense] of Object.entries(expected ?? {})) {
        if (dense.type !== "float32" || !toFloat64(dense).every(Number.isFinite)) continue;
        const found = largestDifference(dense, got?.[name]);
        const allowed = Math.max(0.02, ...moved.map((runs) => 20 * largestDifference(dense, runs[0]?.[name])));
        expectThat(found <= allowed, `"${name}" differs by ${found}, allowed is ${allowed}`);
      }
    },
  },
  ...[{}, { perChannel: false }].flatMap((options) =>
    (["dynamic", "static"] as const).map((scheme) => ({
      name: `layers on integers, ${scheme} ${JSON.stringify(options)}`,
      async keep(network: Network): Promise<void> {
        const feeds = scheme === "static" ? samplesOf(network, 2, 9) : network.feeds(2, 9);
        if (feeds === undefined) return;
        const original = await prepared(network);
        const result = original.clone();
        const own = { ...options, equalize: !("perChannel" in options) };
        const outcome = await quantized(result, scheme, feeds, own);
        if (outcome instanceof Miss) return;
        // Where factors moved, ranges and weights are those of the float model that has them.
        if (outcome.changes.some(({ kind }) => kind === movedFactors))
          await equalize(original, { scheme, data: inOrder(feeds), ...own }, { engine });
        const changed = new Set(outcome.changes.map(({ at }) => at));
        const integerLayers = counted(result);
        const [seen, all] = [await everything(original, feeds), await weights(original)];
        if (scheme === "static") expectRangesKept(original, result, seen);
        for (const [key, layer] of counted(original)) {
          const [weight, integer] = [all.get(layer.name), integerLayers.get(key)];
          if (!changed.has(layer.name) || weight === undefined || integer === undefined) continue;
          await expectWithinGrid({ original, layer, weight, result, integer }, seen, options);
        }
      },
    })),
  ),
];

/** The network as its layers are quantized: a normalization that goes into a layer makes it another one. */
async function prepared({ model }: Network): Promise<Model> {
  const original = model.clone();
  storeWeights(original);
  await foldConstants(original, {}, { engine });
  await fuseBatchNorms(original, { trained: true });
  return original;
}

/** What each layer multiplies its product by. */
function factors(model: Model): ReadonlyMap<string, number> {
  return new Map(layers(model, infer(model)).map(({ name, role }) => [name, role.scaled?.factor ?? 1]));
}

/** Layers by name, and those of one name, which share a weight, by their order. */
function counted(model: Model): ReadonlyMap<string, Layer> {
  const found = new Map<string, Layer>();
  const counts = new Map<string, number>();
  for (const layer of layers(model, infer(model))) {
    const count = counts.get(layer.name) ?? 0;
    counts.set(layer.name, count + 1);
    found.set(`${layer.name} ${count}`, layer);
  }
  return found;
}

async function quantized(model: Model, scheme: Scheme, feeds: Batch | undefined, options: object = {}) {
  // Between nodes of its own layout ONNX Runtime moves QuantizeLinear into their domain, which has none.
  if (scheme === "static" && model.opsets.has("com.microsoft.nchwc")) return new Miss("is laid out for one machine");
  const given = scheme === "static" && feeds !== undefined ? { data: inOrder(feeds) } : {};
  const outcome = await quantize(model, { scheme, ...given, ...options }, { engine }).catch(refused);
  if (!(outcome instanceof Miss)) expectSentences(outcome);
  return outcome;
}

/** Samples that are taken as they come: some networks take the first of a batch. */
function inOrder(feeds: Batch): Dataset {
  const data = memory("feeds", feeds);
  return { name: data.name, count: data.count, batches: (options) => data.batches({ size: options.size }) };
}

/** All values of the main graph in a run, and what it is fed. */
async function everything(original: Model, feeds: Batch): Promise<Batch> {
  const model = original.clone();
  infer(model);
  const made = [...model.graph.nodes()].flatMap(({ outputs }) => outputs.flatMap((output) => output ?? []));
  const floats = made.filter(({ type }) => type?.type === "float32");
  if (floats.length === 0) return feeds;
  model.graph.setOutputs(floats);
  const [found] = await answers(model, [feeds], false);
  return { ...feeds, ...found };
}

/** A rounding in the graph: to codes of a scale, and back. */
interface Rounded {
  readonly from: Value;
  readonly to: Value;
  /** Where the scale is stored: values that are only moved share it. */
  readonly stored: Value;
  readonly scale: number;
  /** What the least and the largest code stand for. */
  readonly low: number;
  readonly high: number;
}

function roundingAt(back: Node | undefined): Rounded | undefined {
  const [codes, stored, zero] = back?.inputs ?? [];
  const from = codes?.producer?.inputs[0];
  const [to] = back?.outputs ?? [];
  if (back?.op !== "DequantizeLinear" || codes?.producer?.op !== "QuantizeLinear") return undefined;
  const [step, zeroPoint] = [stored?.tensor?.small, zero?.tensor?.small];
  if (from === undefined || to === undefined || stored === undefined || step === undefined || zeroPoint === undefined)
    return undefined;
  const [[scale = 0], [offset = 0]] = [toNumbers(step), toNumbers(zeroPoint)];
  const [least, most] = zeroPoint.type === "int8" ? [-128, 127] : [0, 255];
  return { from, to, stored, scale, low: (least - offset) * scale, high: (most - offset) * scale };
}

/** No number that was measured lies outside of its grid, and no grid is coarser than what it covers asks for. */
function expectRangesKept(original: Model, result: Model, seen: Batch): void {
  const inference = infer(original);
  const found = [...result.graph.nodes()].flatMap((node) => {
    const rounded = roundingAt(node);
    const name = rounded?.to.name.replace(/_DequantizeLinear_Output$/, "");
    const value = name === undefined ? undefined : original.graph.value(name);
    if (rounded === undefined || value === undefined) return [];
    const ranges = limited(value, inference).flatMap((one) => {
      const dense = seen[one.name];
      const numbers = dense === undefined ? [] : [...toFloat64(dense), 0];
      return numbers.length === 0 ? [] : [{ least: Math.min(...numbers), most: Math.max(...numbers) }];
    });
    return [{ ...rounded, value, ranges }];
  });
  const coarsest = Math.max(0, ...found.map(({ scale }) => scale));
  for (const { value, scale, stored, low, high, ranges } of found) {
    if (ranges.length === 0) continue;
    const sharing = found.filter((other) => other.stored === stored).flatMap((other) => other.ranges);
    const widest = Math.max(...sharing.map(({ least, most }) => most - least));
    // Probabilities are rounded over all of [0, 1], and a mean is no finer than ONNX Runtime's kernel can.
    const needed = Math.max(widest / 255, 1 / 255, coarsest / 256);
    const isCovered = ranges.some(({ least, most }) => least >= low - 0.51 * scale && most <= high + 0.51 * scale);
    const texts = ranges.map(({ least, most }) => `${least} to ${most}`).join(", limited ");
    expectThat(isCovered, `"${value.name}" goes from ${texts}; its grid from ${low} to ${high}`);
    const isAll0 = ranges.some(({ least, most }) => least === most);
    expectThat(isAll0 || scale <= 1.001 * needed, `"${value.name}" goes from ${texts}, in steps of ${scale}`);
  }
}

/** A value, and what is left of it where nothing reads it but a limit, which its grid may stand for. */
function limited(value: Value, inference: Inference): readonly Value[] {
  const [use, ...more] = value.uses;
  const bound = use === undefined ? undefined : inference.at(use.node);
  const rule = bound === undefined || bound instanceof Miss ? undefined : bound.quantize();
  const [output] = use?.node.outputs ?? [];
  const isLimit = more.length === 0 && rule !== undefined && !(rule instanceof Miss) && rule.kind === "clamp";
  return isLimit && output !== undefined ? [value, ...limited(output, inference)] : [value];
}

interface LayerPair {
  readonly original: Model;
  readonly layer: Layer;
  readonly weight: Weight;
  readonly result: Model;
  /** The layer in the result. */
  readonly integer: Layer;
}

/** What a layer answers on integers is off by what its grids explain. */
async function expectWithinGrid(pair: LayerPair, seen: Batch, grid: { readonly perChannel?: boolean }): Promise<void> {
  const { original, layer, weight, result, integer } = pair;
  const bound = infer(original).at(layer.node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss || rule.kind !== "weighted" || layer.role.fused !== undefined) return;
  if (weight.read !== layer.effective.name) return;
  const [data, [output]] = [layer.node.inputs[rule.weight.data], layer.node.outputs];
  const [x, y] = [seen[data?.name ?? ""], seen[output?.name ?? ""]];
  if (data === undefined || output === undefined || x?.type !== "float32" || y?.type !== "float32") return;
  // A normalization behind it has gone into it, and what is not finite has no bound.
  const readers = [...output.uses].map(({ node }) => infer(original).at(node));
  if (readers.some((reader) => !(reader instanceof Miss) && reader.training() !== undefined)) return;
  if (![x, y].every((dense) => toFloat64(dense).every(Number.isFinite))) return;
  const given = [data, layer.effective, ...(layer.bias === undefined ? [] : [layer.bias])];
  if (new Set(given).size < given.length) return;

  const ends = endsOf(result, integer, data, output);
  if (ends === undefined) return;
  const part = extract(result, [ends.output], [ends.data]);
  if (part.graph.feeds.length !== 1) return;
  const [got] = await answers(part, [{ [ends.data.name]: x }]);
  const found = got?.[ends.output.name];
  expectThat(found?.dims.join() === y.dims.join(), `layer "${layer.name}" answers [${found?.dims}], not [${y.dims}]`);
  if (found === undefined) return;

  const numbers = toFloat64(x);
  const largest = [Math.min(0, ...numbers), Math.max(0, ...numbers)] as const;
  const dx = ends.before?.scale ?? (largest[1] - largest[0]) / 255;
  const bias = layer.bias === undefined ? undefined : await readStoredValue(original, layer.bias, engine);
  const most = mostMoved(weight, grid, 64);
  // A bias as int32 counts in steps of data and weight together, which grow until it fits.
  const biasNumbers = bias === undefined ? [] : toNumbers(bias);
  const largestBias = Math.max(0, ...biasNumbers.map(Math.abs));
  const grown = ends.before === undefined ? 0 : largestBias / (dx * 2 ** 30);
  const dw = most.map((step, at) => (weight.numbers[at] === 0 ? step : Math.max(step, grown / 2)));
  const db = ends.before === undefined ? 0 : (dx * Math.max(grown, 2 * Math.max(0, ...most))) / 2;

  const alone = extract(original, [output], given);
  const feed = (a: readonly number[], b: ArrayLike<number>, c: number): Batch => {
    const dense = [float32(x.dims, a), float32(weight.dims, Float32Array.from(b))];
    if (bias !== undefined) dense.push(float32(bias.dims, new Array(elementCount(bias.dims)).fill(c)));
    return Object.fromEntries(alone.graph.inputs.map(({ name }, at) => [name, dense[at] as Dense]));
  };
  const [sizes, zeros] = [Array.from(numbers, Math.abs), new Array<number>(numbers.length).fill(0)];
  const magnitudes = weight.numbers.map(Math.abs);
  const runs = await answers(
    alone,
    [
      feed(
        sizes.map((size) => size + dx),
        dw,
        0,
      ),
      feed(
        zeros.map(() => dx),
        magnitudes,
        0,
      ),
      feed(
        zeros,
        weight.numbers.map(() => 0),
        db,
      ),
      feed(sizes, magnitudes, largestBias),
    ],
    false,
  );
  const [ofWeight, ofData, ofBias, whole] = runs.map((run) => toFloat64(Object.values(run)[0] as Dense).map(Math.abs));
  const wanted = toFloat64(y);
  const { low, high, scale } = ends.after ?? { low: -Infinity, high: Infinity, scale: 0 };
  toFloat64(found).forEach((value, at) => {
    const expected = Math.min(high, Math.max(low, wanted[at] ?? Number.NaN));
    const parts = [ofWeight, ofData, ofBias].map((numbers) => numbers?.[at] ?? 0);
    const allowed = parts.reduce((sum, part) => sum + part, 0.51 * scale + 1e-5 * (whole?.[at] ?? 0) + 1e-30);
    expectThat(
      Math.abs(value - expected) <= 1.001 * allowed,
      `layer "${layer.name}" answers ${value} at ${at}, not ${expected}; its grids explain ${allowed}`,
    );
  });
}

/** Where a layer on integers begins and ends, and what rounds there: ranges of the run itself where nothing is stored. */
function endsOf(result: Model, { node }: Layer, data: Value, output: Value) {
  const before = node.inputs.map((input) => roundingAt(input?.producer)).find((rounded) => rounded !== undefined);
  if (before === undefined) {
    const [from, to] = [result.graph.value(data.name), result.graph.value(output.name)];
    return from === undefined || to === undefined ? undefined : { data: from, output: to };
  }
  const [own] = node.outputs;
  const after = [...(own?.uses ?? [])]
    .flatMap(({ node }) =>
      node.outputs.flatMap((codes) => [...(codes?.uses ?? [])].map(({ node }) => roundingAt(node))),
    )
    .find((rounded) => rounded?.from === own);
  return after === undefined ? undefined : { data: before.from, output: after.to, before, after };
}
