/** Promises of low-bit weights: the error of each value is within the bound of its grid, and the network computes with these values. */

import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { Miss } from "../../../src/core/errors.ts";
import { allNodes } from "../../../src/core/graph/graph.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { stridesOf } from "../../../src/core/tensor/axis-layout.ts";
import { toFloat32, toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { storeConstants } from "../../../src/rewrite/clean-up/store-constants.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { crossLayer } from "../../../src/techniques/quantize/equalize/cross-layer.ts";
import { findRounding } from "../../../src/techniques/quantize/fake-rounding.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";
import { channelRanges } from "../../../src/techniques/quantize/quantize-tensor.ts";
import type { WeightsSettings } from "../../../src/techniques/quantize/settings.ts";
import type { Network } from "../network.ts";
import {
  answers,
  batchesOf,
  endsHalf,
  engine,
  expectNear,
  expectSame,
  expectSentences,
  expectThat,
  refused,
} from "../runs.ts";
import { expectSameShapes, type Promised, samplesOf, type Weight, weights, withWeights } from "./promised.ts";

interface Grid {
  readonly perChannel?: boolean;
  readonly weights?: "int8" | "uint8";
}

/**
 * Returns the maximum error of each value on an 8-bit grid: half a step. With a zero point, which is rounded as well, the ends can be half a
 * step further off.
 */
export function mostMoved({ numbers, dims, slices: out }: Weight, grid: Grid, steps = 127): Float64Array {
  const { perChannel = true, weights: type = "int8" } = grid;
  const { min, max } = channelRanges({ type: "float64", dims, data: numbers }, perChannel ? out : undefined);
  const [stride, count] = [stridesOf(dims)[out] ?? 1, dims[out] ?? 1];
  return numbers.map((_, at) => {
    const channel = perChannel ? Math.floor(at / stride) % count : 0;
    const [low, high] = [Math.min(0, min[channel] ?? 0), Math.max(0, max[channel] ?? 0)];
    return !perChannel && type === "uint8" ? (high - low) / 255 : Math.max(high, -low) / steps / 2;
  });
}

function expectWithin(name: string, before: Weight, after: Weight | undefined, most: Float64Array): void {
  expectThat(after?.numbers.length === before.numbers.length, `layer "${name}" is gone`);
  before.numbers.forEach((value, at) => {
    const moved = Math.abs(value - (after?.numbers[at] ?? Number.NaN));
    const allowed = (most[at] ?? 0) + (before.type === "float16" ? roundedToHalf(value) : 0);
    expectThat(moved <= 1.001 * allowed + 1e-30, `layer "${name}"[${at}] is off by ${moved}, allowed is ${allowed}`);
  });
}

/** Returns a matrix with scales per row, transposed if the scales are per column. */
function rowsOf({ numbers, dims, slices }: Weight): Float64Array {
  const [height = 1, width = 1] = dims;
  return slices === 0 ? numbers : numbers.map((_, at) => numbers[(at % height) * width + Math.floor(at / height)] ?? 0);
}

/** Returns the maximum error of each value in blocks: one step, because the end of a range can be clipped or the zero point rounded. */
function mostMovedInBlocks(rows: Float64Array, width: number, size: number, bits: number): Float64Array {
  return rows.map((_, at) => {
    const row = at - (at % width);
    const start = row + Math.floor((at % width) / size) * size;
    const block = rows.subarray(start, Math.min(start + size, row + width));
    return (2 * Math.max(...block.map(Math.abs))) / (2 ** bits - 1);
  });
}

/** Returns the maximum float16 rounding error: half of the eleventh bit, or of the smallest subnormal step. */
function roundedToHalf(value: number): number {
  return Math.max(Math.abs(value) * 2 ** -11, 2 ** -25);
}

export const quantizing: readonly Promised[] = [
  {
    name: "cross-layer equalization",
    async keep(network: Network): Promise<void> {
      const result = network.model.clone();
      await storeConstants(result);
      // All noise is attributed to this layer.
      const noises = [1, 0];
      const settings: WeightsSettings = {
        ...{ scheme: "weights", bits: 8, perChannel: false, rounder: "nearest", samples: 1, onnxOnly: false },
        ...{ zeroPoints: false, equalize: true, biasCorrection: "full" },
      };
      await crossLayer.apply(result, settings, completeContext({ engine }), async () => noises.shift());
      const batches = batchesOf(network);
      await expectSame(network, result, batches, await answers(network.model, batches, false), false);
    },
  },
  ...([{}, { perChannel: false }, { weights: "uint8" }, { weights: "uint8", perChannel: false }] as const).map(
    (options: Grid) => ({
      name: `quantize weights ${JSON.stringify(options)}`,
      async keep(network: Network): Promise<void> {
        const before = await weights(network.model);
        const result = network.model.clone();
        const settings = { scheme: "weights", equalize: false, ...options } as const;
        const outcome = await quantize(result, settings, { engine }).catch(refused);
        if (outcome instanceof Miss) return;
        expectSentences(outcome);
        const after = await weights(result);
        for (const [name, weight] of before) expectWithin(name, weight, after.get(name), mostMoved(weight, options));
        const numbers = [...after].map(([name, weight]) => [name, weight.numbers] as const);
        const same = await withWeights(network.model, new Map(numbers));
        if (same === undefined) return;
        const batches = batchesOf(network);
        // With fusion, ONNX Runtime rounds the activations of 8-bit weights to 8 bits.
        await expectSame({ ...network, model: same }, result, batches, await answers(same, batches, false), false);
      },
    }),
  ),
  ...(
    [
      { bits: 4, block: 16 },
      { bits: 4, block: 16, zeroPoints: true },
      { bits: 2, block: 16, zeroPoints: true },
      { bits: 8, block: 32 },
    ] as const
  ).map((options) => ({
    name: `quantize weights ${JSON.stringify(options)}`,
    async keep(network: Network): Promise<void> {
      const before = await weights(network.model);
      const result = network.model.clone();
      const outcome = await quantize(result, { scheme: "weights", ...options }, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      const numbers = new Map<string, ArrayLike<number>>();
      const rounded = outcome.changes.flatMap(({ kind, at }) => (kind === "quantized" ? [at] : []));
      // Two layers share a weight and only one supports blocks, so no single weight can be compared.
      if (new Set(rounded).size < rounded.length) return;
      for (const [name, after] of await weights(result)) {
        const weight = before.get(name);
        if (after.block === undefined || weight === undefined) {
          numbers.set(name, after.numbers);
          continue;
        }
        const { size, bits } = after.block;
        const rows = { ...weight, numbers: rowsOf(weight) };
        expectWithin(name, rows, after, mostMovedInBlocks(rows.numbers, after.dims[1] ?? 1, size, bits));
        const turned = { ...after, slices: weight.slices };
        numbers.set(name, weight.slices === 0 ? after.numbers : rowsOf({ ...turned, slices: 1 }));
      }
      const same = await withWeights(network.model, numbers);
      if (same === undefined) return;
      // Without this change, the kernel also rounds activations to 8 bits.
      for (const node of allNodes(result.graph))
        if (node.op === "MatMulNBits") node.graph.setAttribute(node, "accuracy_level", { kind: "int", value: 0 });
      const batches = batchesOf(network);
      await expectSame({ ...network, model: same }, result, batches, await answers(same, batches, false), false);
    },
  })),
  {
    name: "quantize weights by rdoq",
    async keep(network) {
      const pruned = network.model.clone();
      await prune(pruned, { amount: 0.3 }, { engine });
      const feeds = samplesOf(network, 8, 1);
      if (feeds === undefined) return;
      const result = pruned.clone();
      const settings = { scheme: "weights", rounder: "rdoq", data: memory("samples", feeds) } as const;
      const outcome = await quantize(result, settings, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      await expectSameShapes(network, await answers(result, batchesOf(network)));
      const after = await weights(result);
      for (const [name, { numbers }] of await weights(pruned)) {
        const rounded = after.get(name)?.numbers;
        expectThat(rounded?.length === numbers.length, `layer "${name}" is gone`);
        expectThat(
          numbers.every((value, at) => value !== 0 || rounded?.[at] === 0),
          `layer "${name}" has lost zeros`,
        );
      }
      for (const { name, tensor } of result.graph.values()) {
        if (tensor?.type !== "int8" || outcome.changes.every(({ at }) => !name.startsWith(at))) continue;
        const values = toNumbers(await tensor.read());
        expectThat(
          values.every((value) => Math.abs(value) <= 127),
          `"${name}" has values beyond 127`,
        );
      }
    },
  },
  {
    name: "quantize float16",
    async keep(network) {
      const original = network.model.clone();
      await storeConstants(original);
      const result = original.clone();
      expectSentences(await quantize(result, { scheme: "float16" }, { engine }));
      const after = await weights(result);
      for (const [name, weight] of await weights(original))
        expectWithin(name, weight, after.get(name), weight.numbers.map(roundedToHalf));
      for (const value of [...original.graph.values()]) {
        // A weight whose mask is folded takes the name of the masked value.
        const names = [value, ...[...value.uses].flatMap(({ node }) => node.outputs)].map((one) => one?.name ?? "");
        const same = names.flatMap((name) => result.graph.value(name)?.tensor ?? []);
        const narrow = same.find((tensor) => tensor.dims.join() === value.tensor?.dims.join());
        if (value.role?.kind === "mask" || value.tensor?.type !== "float32" || narrow?.type !== "float16") continue;
        const rounded = await narrow.read();
        const numbers = toFloat64(await value.tensor.read());
        toFloat64(rounded).forEach((got, at) => {
          const moved = Math.abs(got - (numbers[at] ?? Number.NaN));
          // Quantization folds masks.
          expectThat(
            got === 0 || moved <= roundedToHalf(numbers[at] ?? 0),
            `"${value.name}"[${at}] is off by ${moved}`,
          );
        });
        value.tensor = inMemory(float32(rounded.dims, toFloat32(rounded)));
      }
      const batches = batchesOf(network);
      await expectSame({ ...network, model: original }, result, batches, await answers(original, batches));
    },
  },
  {
    name: "quantize float16, computing in it",
    async keep(network) {
      // ThresholdedRelu is discontinuous, so rounding near its threshold changes the output by the threshold.
      if ([...allNodes(network.model.graph)].some(({ op }) => op === "ThresholdedRelu")) return;
      const result = network.model.clone();
      const options = { dtype: "fp16" } as const;
      expectSentences(await quantize(result, options, { engine }));
      const batches = batchesOf(network);
      await expectSameShapes(network, await answers(result, batches));
      // Large values that represent infinity only work in a softmax, not in products or outputs.
      if ([...result.graph.values(), ...network.model.graph.values()].some(({ tensor }) => endsHalf(tensor?.small)))
        return;
      await expectNear(network, result, batches, await answers(network.model, batches));
    },
  },
];

export const rounding: readonly Promised[] = ([{}, { learnScales: true }, { perChannel: false }] as const).map(
  (options) => ({
    name: `round in float ${JSON.stringify(options)}, then in integers`,
    async keep(network: Network): Promise<void> {
      const batches = batchesOf(network);
      const rounded = network.model.clone();
      const outcome = await fakeQuantize(rounded, options, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      const result = rounded.clone();
      const { perChannel = true } = "perChannel" in options ? options : {};
      // Only float32 weights of the main graph are quantized here.
      const names = layers(result, infer(result)).flatMap(({ name, effective }) =>
        findRounding(effective) === undefined ? [] : [name],
      );
      // A layer name that equals an operator type selects all layers of that type.
      const types = new Set([...allNodes(result.graph)].map(({ op }) => op));
      if (names.length === 0 || names.some((name) => types.has(name))) return;
      expectSentences(await quantize(result, { scheme: "weights", perChannel, layers: names }, { engine }));
      await expectSame({ ...network, model: rounded }, result, batches, await answers(rounded, batches, false), false);
      const remaining = await weights(result);
      for (const name of (await weights(network.model)).keys())
        expectThat(remaining.has(name), `layer "${name}" is gone`);
    },
  }),
);
