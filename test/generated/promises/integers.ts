/**
 * Promises of integer arithmetic: each layer alone, on its inputs in the original, as ONNX Runtime fuses it. A layer L is linear in its data
 * x and in its weight W, and quantization changes them by at most dx and dW, so that
 *
 *     |L(x + dx, W + dW) - L(x, W)| ≤ L(|x| + dx, dW) + L(dx, |W|)
 *
 * elementwise. The layer itself computes the bound. Its bias and its output are quantized in addition.
 */

import { type Inference, infer } from "../../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../../src/core/analysis/layers.ts";
import { Miss } from "../../../src/core/errors.ts";
import { extract } from "../../../src/core/graph/extract.ts";
import type { Node, Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { scaledKind } from "../../../src/core/pass/pass.ts";
import { toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import { type Dataset, memory } from "../../../src/data/index.ts";
import { foldConstants } from "../../../src/rewrite/clean-up/fold-constants.ts";
import { fuseBatchNorms } from "../../../src/rewrite/clean-up/fuse-batch-norm.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored-values.ts";
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
      // Layers are named after their weights, which some exporters store in nodes.
      storeWeights(result);
      const names = new Set(layers(result, infer(result)).map(({ name }) => name));
      const outcome = await quantized(result, scheme, data, options);
      if (outcome instanceof Miss) return;
      await expectSameShapes(network, await answers(result, batchesOf(network)));
      const remaining = new Set(layers(result, infer(result)).map(({ name }) => name));
      for (const name of names) expectThat(remaining.has(name), `layer "${name}" is gone`);
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
      const numbers = [...(await weights(result))].flatMap(([name, { numbers }]) =>
        changed.has(name) ? [[name, numbers] as const] : [],
      );
      const same = await withWeights(original, new Map(numbers));
      if (same === undefined) return;
      const unavoidable = await errorOfRanges(original, same, feeds);
      const [[expected], [got], moved] = [
        await answers(same, [feeds], false),
        await answers(result, [feeds], false),
        await ownRounding(same, [feeds], 1e-3),
      ];
      for (const [name, dense] of Object.entries(expected ?? {})) {
        if (dense.type !== "float32" || !toFloat64(dense).every(Number.isFinite)) continue;
        const gap = largestDifference(dense, got?.[name]);
        const allowed = Math.max(
          0.02,
          20 * unavoidable,
          ...moved.map((runs) => 20 * largestDifference(dense, runs[0]?.[name])),
        );
        expectThat(gap <= allowed, `"${name}" differs by ${gap}, allowed is ${allowed}`);
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
        const allOptions = { ...options, equalize: !("perChannel" in options) };
        const outcome = await quantized(result, scheme, feeds, allOptions);
        if (outcome instanceof Miss) return;
        // If equalization moved factors, ranges and weights are compared with the equalized float model.
        if (outcome.changes.some(({ kind }) => kind === scaledKind))
          await equalize(original, { scheme, data: inOrder(feeds), ...allOptions }, { engine });
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

/** Returns the network with normalizations folded into layers, as quantization does before it rounds. */
async function prepared({ model }: Network): Promise<Model> {
  const original = model.clone();
  storeWeights(original);
  await foldConstants(original, {}, { engine });
  await fuseBatchNorms(original, { trained: true });
  return original;
}

/** Returns layers by name and order: layers that share a weight have one name. */
function counted(model: Model): ReadonlyMap<string, Layer> {
  const byKey = new Map<string, Layer>();
  const counts = new Map<string, number>();
  for (const layer of layers(model, infer(model))) {
    const count = counts.get(layer.name) ?? 0;
    counts.set(layer.name, count + 1);
    byKey.set(`${layer.name} ${count}`, layer);
  }
  return byKey;
}

async function quantized(model: Model, scheme: Scheme, feeds: Batch | undefined, options: object = {}) {
  // Between nodes of its internal layout, ONNX Runtime moves QuantizeLinear into the domain of that layout, which lacks it.
  if (scheme === "static" && model.opsets.has("com.microsoft.nchwc")) return new Miss("is laid out for one machine");
  const dataOption = scheme === "static" && feeds !== undefined ? { data: inOrder(feeds) } : {};
  const outcome = await quantize(model, { scheme, ...dataOption, ...options }, { engine }).catch(refused);
  if (!(outcome instanceof Miss)) expectSentences(outcome);
  return outcome;
}

/** Returns the samples as a stream, which keeps their order: some networks read only the first sample of a batch. */
function inOrder(feeds: Batch): Dataset {
  const data = memory("feeds", feeds);
  return { name: data.name, count: data.count, batches: (options) => data.batches({ size: options.size }) };
}

/** Runs the model, and returns all float values of the main graph and the inputs. */
async function everything(original: Model, feeds: Batch): Promise<Batch> {
  const model = original.clone();
  infer(model);
  const computedValues = [...model.graph.nodes()].flatMap(({ outputs }) => outputs.flatMap((output) => output ?? []));
  const floats = computedValues.filter(({ type }) => type?.type === "float32");
  if (floats.length === 0) return feeds;
  model.graph.setOutputs(floats);
  const [results] = await answers(model, [feeds], false);
  return { ...feeds, ...results };
}

/**
 * Returns the largest error of a value from 16-bit activations, before later nodes enlarge it: a step of its range, or the distance to that
 * range, in which it is clipped. Ranges are those of the original, and `rounded` has rounded weights.
 */
async function errorOfRanges(original: Model, rounded: Model, feeds: Batch): Promise<number> {
  const values = await everything(rounded, feeds);
  let error = 0;
  for (const [name, dense] of Object.entries(await everything(original, feeds))) {
    if (dense.type !== "float32") continue;
    const [low, high] = extremes(dense);
    const [lowest, highest] = extremes(values[name] ?? dense);
    error = Math.max(error, (high - low) / 2 ** 16, low - lowest, highest - high);
  }
  return error;
}

/** Returns the smallest and the largest finite value, or 0. */
function extremes(dense: Dense): readonly [number, number] {
  const finite = toFloat64(dense).filter(Number.isFinite);
  return finite.reduce<readonly [number, number]>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [0, 0],
  );
}

/** A pair of QuantizeLinear and DequantizeLinear with one scale. */
interface Rounded {
  readonly from: Value;
  readonly to: Value;
  /** The stored scale. Values that are only moved share it. */
  readonly stored: Value;
  readonly scale: number;
  /** The numbers that the lowest and the highest quantized value represent. */
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

/** Checks that each grid covers all measured values, and is not coarser than their range requires. */
function expectRangesKept(original: Model, result: Model, seen: Batch): void {
  const inference = infer(original);
  const rangeFaults = [...result.graph.nodes()].flatMap((node) => {
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
  const coarsest = Math.max(0, ...rangeFaults.map(({ scale }) => scale));
  for (const { value, scale, stored, low, high, ranges } of rangeFaults) {
    if (ranges.length === 0) continue;
    const sharing = rangeFaults.filter((other) => other.stored === stored).flatMap((other) => other.ranges);
    const widest = Math.max(...sharing.map(({ least, most }) => most - least));
    // The grid of probabilities is [0, 1], and a mean has the minimum step of ONNX Runtime's kernel.
    const needed = Math.max(widest / 255, 1 / 255, coarsest / 256);
    const isCovered = ranges.some(({ least, most }) => least >= low - 0.51 * scale && most <= high + 0.51 * scale);
    const texts = ranges.map(({ least, most }) => `${least} to ${most}`).join(", limited ");
    expectThat(isCovered, `"${value.name}" goes from ${texts}; its grid from ${low} to ${high}`);
    const isAll0 = ranges.some(({ least, most }) => least === most);
    expectThat(isAll0 || scale <= 1.001 * needed, `"${value.name}" goes from ${texts}, in steps of ${scale}`);
  }
}

/** Returns a value, and its clamped value if only a clamp reads it: the grid can replace the clamp. */
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

/** Checks that the error of a layer on integers is within the bound of its grids. */
async function expectWithinGrid(pair: LayerPair, seen: Batch, grid: { readonly perChannel?: boolean }): Promise<void> {
  const { original, layer, weight, result, integer } = pair;
  const bound = infer(original).at(layer.node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss || rule.kind !== "weighted" || layer.role.fused !== undefined) return;
  if (weight.read !== layer.effective.name) return;
  const [data, [output]] = [layer.node.inputs[rule.weight.data], layer.node.outputs];
  const [x, y] = [seen[data?.name ?? ""], seen[output?.name ?? ""]];
  if (data === undefined || output === undefined || x?.type !== "float32" || y?.type !== "float32") return;
  // A following normalization is folded into the layer, and values that are not finite have no bound.
  const readers = [...output.uses].map(({ node }) => infer(original).at(node));
  if (readers.some((reader) => !(reader instanceof Miss) && reader.training() !== undefined)) return;
  if (![x, y].every((dense) => toFloat64(dense).every(Number.isFinite))) return;
  const operands = [data, layer.effective, ...(layer.bias === undefined ? [] : [layer.bias])];
  if (new Set(operands).size < operands.length) return;

  const ends = endsOf(result, integer, data, output);
  if (ends === undefined) return;
  const part = extract(result, [ends.output], [ends.data]);
  if (part.graph.feeds.length !== 1) return;
  const [got] = await answers(part, [{ [ends.data.name]: x }]);
  const actual = got?.[ends.output.name];
  expectThat(actual?.dims.join() === y.dims.join(), `layer "${layer.name}" answers [${actual?.dims}], not [${y.dims}]`);
  if (actual === undefined) return;

  const numbers = toFloat64(x);
  const largest = [Math.min(0, ...numbers), Math.max(0, ...numbers)] as const;
  const dx = ends.before?.scale ?? (largest[1] - largest[0]) / 255;
  const bias = layer.bias === undefined ? undefined : await readStoredValue(original, layer.bias, engine);
  const most = mostMoved(weight, grid, 64);
  // The scale of an int32 bias is the product of the data and weight scales and the layer's factor, increased until the bias fits.
  const factor = Math.abs(layer.role.productFactor ?? 1);
  const biasNumbers = bias === undefined ? [] : toNumbers(bias);
  const largestBias = Math.max(0, ...biasNumbers.map(Math.abs));
  const grown = ends.before === undefined ? 0 : largestBias / (factor * dx * 2 ** 30);
  const dw = most.map((step, at) => (weight.numbers[at] === 0 ? step : Math.max(step, grown / 2)));
  const db = ends.before === undefined ? 0 : (factor * dx * Math.max(grown, 2 * Math.max(0, ...most))) / 2;

  const alone = extract(original, [output], operands);
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
  const [ofWeight, ofData, ofBias, ofAll] = runs.map((run) => toFloat64(Object.values(run)[0] as Dense).map(Math.abs));
  const expectedNumbers = toFloat64(y);
  const { low, high, scale } = ends.after ?? { low: -Infinity, high: Infinity, scale: 0 };
  toFloat64(actual).forEach((value, at) => {
    const expected = Math.min(high, Math.max(low, expectedNumbers[at] ?? Number.NaN));
    const parts = [ofWeight, ofData, ofBias].map((numbers) => numbers?.[at] ?? 0);
    const allowed = parts.reduce((sum, part) => sum + part, 0.51 * scale + 1e-5 * (ofAll?.[at] ?? 0) + 1e-30);
    expectThat(
      Math.abs(value - expected) <= 1.001 * allowed,
      `layer "${layer.name}" answers ${value} at ${at}, not ${expected}; its grids explain ${allowed}`,
    );
  });
}

/** Returns the ends of a layer on integers with their quantization, or without one if ranges are computed at run time. */
function endsOf(result: Model, { node }: Layer, data: Value, output: Value) {
  const before = node.inputs.map((input) => roundingAt(input?.producer)).find((rounded) => rounded !== undefined);
  if (before === undefined) {
    const [from, to] = [result.graph.value(data.name), result.graph.value(output.name)];
    return from === undefined || to === undefined ? undefined : { data: from, output: to };
  }
  const [layerOutput] = node.outputs;
  const after = [...(layerOutput?.uses ?? [])]
    .flatMap(({ node }) =>
      node.outputs.flatMap((codes) => [...(codes?.uses ?? [])].map(({ node }) => roundingAt(node))),
    )
    .find((rounded) => rounded?.from === layerOutput);
  return after === undefined ? undefined : { data: before.from, output: after.to, before, after };
}
