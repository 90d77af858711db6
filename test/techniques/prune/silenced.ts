/** Whether a cut network computes what the network with silenced channels does, run by ONNX Runtime. */
import { expect } from "vitest";
import { type ChannelOptions, channelGroups, freeUnits } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { type Removal, removeChannels } from "../../../src/core/analysis/remove-channels.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { Miss } from "../../../src/core/errors.ts";
import { emitInto } from "../../../src/core/graph/emit.ts";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { entryOf } from "../../../src/core/ops/index.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { shared } from "../../shared.ts";
import type { Topology } from "../../zoo/topologies.ts";
import { zeroChannels } from "./zero.ts";

const engine = createEngine();

export async function run(model: Model, feeds: Batch, optimize = true): Promise<Batch> {
  const session = await engine.load(model, { optimize });
  const outputs = await session.run(feeds);
  await session.release();
  return outputs;
}

/** A choice of units from every group that can be cut: at least one goes, at least one index is left on every axis. */
export function choose(model: Model, seed: number, share: number, options: ChannelOptions = {}): Removal[] {
  const draw = random(seed, "units");
  return channelGroups(model, infer(model), options).flatMap((group) => {
    const candidates = freeUnits(group);
    const remainingCounts = group.slices.map(({ unitOf }) => unitOf.length);
    const sizes = group.slices.map(({ unitOf }) => {
      const counts = new Uint32Array(group.units);
      for (const unit of unitOf) if (unit >= 0) counts[unit] = (counts[unit] ?? 0) + 1;
      return counts;
    });
    const maxUnits = Math.max(1, Math.round(candidates.length * share));
    const units: number[] = [];
    for (const place of draw.permutation(candidates.length)) {
      const unit = candidates[place] ?? -1;
      if (
        units.length === maxUnits ||
        sizes.some((counts, slice) => (remainingCounts[slice] ?? 0) <= (counts[unit] ?? 0))
      )
        continue;
      sizes.forEach((counts, slice) => {
        remainingCounts[slice] = (remainingCounts[slice] ?? 0) - (counts[unit] ?? 0);
      });
      units.push(unit);
    }
    return units.length === 0 ? [] : [{ group, units }];
  });
}

/** The greatest difference between the outputs, relative to the greatest entry of the second. */
export function difference(a: Batch, b: Batch): number {
  let worst = 0;
  for (const [name, dense] of Object.entries(b)) {
    if (dense.type === "string") {
      expect(a[name]).toEqual(dense);
      continue;
    }
    const expected = toFloat64(dense);
    const actual = a[name] === undefined ? undefined : toFloat64(a[name]);
    expect(actual?.length).toBe(expected.length);
    // ONNX Runtime rounds Sigmoid in steps of 3e-8 also where it is near 0.
    let [gap, size] = [0, 0.05];
    expected.forEach((value, index) => {
      gap = Math.max(gap, Math.abs(value - (actual?.[index] ?? Number.NaN)));
      size = Math.max(size, Math.abs(value));
    });
    worst = Math.max(worst, gap / size);
  }
  return worst;
}

function elements(model: Model): number {
  return [...model.graph.values()].reduce(
    (sum, { tensor }) => sum + (tensor === undefined ? 0 : elementCount(tensor.dims)),
    0,
  );
}

const hasNumbers = (batch: Batch): boolean =>
  Object.values(batch).every((dense) => dense.type === "string" || toFloat64(dense).every(Number.isFinite));

/** Cuts a random share of every group: the graph is valid, and smaller where anything went. @returns what went. */
async function cutAtRandom(model: Model, seed: number, share: number, options?: ChannelOptions): Promise<Removal[]> {
  const before = elements(model);
  const removals = choose(model, seed, share, options);
  const failed = await removeChannels(model, removals);
  expect(failed instanceof Miss ? `${failed.at}: ${failed.reason}` : "cut").toBe("cut");
  expect(verify(model)).toEqual([]);
  if (removals.length === 0) expect(elements(model)).toBe(before);
  else expect(elements(model)).toBeLessThan(before);
  return removals;
}

/** A copy in which every node that reads one of these channels reads what stands for zero: of codes their zero point. */
export function silencedWhereRead(model: Model, removals: readonly Removal[]): Model {
  const copy = model.clone();
  const inference = infer(model);
  const kept = new Map<Value, Map<number, number[]>>();
  for (const { group, units } of removals) {
    const removedUnits = new Set(units);
    for (const { value, axis, unitOf } of group.slices) {
      if (inference.operand(value)?.stored !== false) continue;
      const axes = kept.get(value) ?? new Map<number, number[]>();
      kept.set(value, axes);
      const mask = axes.get(axis) ?? Array.from(unitOf, () => 1);
      axes.set(
        axis,
        mask.map((one, at) => (removedUnits.has(unitOf[at] ?? -1) ? 0 : one)),
      );
    }
  }
  for (const [{ name, type }, axes] of kept) {
    const value = copy.graph.value(name);
    for (const { node, input } of [...(value?.uses ?? [])]) {
      const coded = entryOf(node)?.codes?.find((one) => one.input === input);
      const point = coded && node.inputs[coded.zeroPoint];
      if (value === undefined || type === undefined || (point === undefined && !isFloat(type.type))) continue;
      const emit = emitInto(copy, { before: node });
      const zero = point ?? emit.constant(float32([], [0]));
      const masked = [...axes].reduce((read, [axis, mask]) => {
        const shape = (type.dims ?? []).map((_, other) => (other === axis ? mask.length : 1));
        return emit.Where([emit.constant(fromNumbers("bool", shape, mask)), read, zero]);
      }, value);
      copy.graph.setInput(node, input, masked);
    }
  }
  return copy;
}

/** Cuts a random share of every group, and compares. Returns how far the silenced network is from the original. */
export async function expectSameAsSilenced(
  make: () => Model | Promise<Model>,
  feeds: Batch,
  seed: number,
  share: number,
): Promise<number> {
  const small = await make();
  if ((await cutAtRandom(small, seed, share)).length === 0) return 0;
  const silent = await make();
  await zeroChannels(silent, choose(silent, seed, share));
  const expected = await run(silent, feeds);
  const original = await run(await make(), feeds);
  // Silence that is normalized by itself is 0 / 0: there is nothing to compare with but what has no such channel.
  if (!hasNumbers(expected) && hasNumbers(original)) {
    expect(hasNumbers(await run(small, feeds))).toBe(true);
    return 0;
  }
  expect(difference(await run(small, feeds), expected)).toBeLessThanOrEqual(1e-5);
  return difference(original, expected);
}

/** Cuts a random share of every group, through normalizations: what is left runs, and answers in the same dimensions. */
export async function expectRunsWithoutStatistics(
  make: () => Model | Promise<Model>,
  feeds: Batch,
  seed: number,
  share: number,
): Promise<void> {
  const small = await make();
  await cutAtRandom(small, seed, share, { throughNorms: true });
  const [original, cutOutputs] = [await run(await make(), feeds), await run(small, feeds)];
  const dims = (batch: Batch) => Object.entries(batch).map(([name, dense]) => [name, dense.dims] as const);
  expect(dims(cutOutputs)).toEqual(dims(original));
  if (hasNumbers(original)) expect(hasNumbers(cutOutputs)).toBe(true);
}

export function feedsOf({ inputs, integers }: Topology, seed: number): Batch {
  const draw = random(seed, "inputs");
  return Object.fromEntries(
    Object.entries(inputs).map(([name, dims]) => {
      const range = integers?.[name];
      const count = elementCount(dims);
      return range === undefined
        ? [
            name,
            float32(
              dims,
              Float32Array.from({ length: count }, () => draw.uniform()),
            ),
          ]
        : [
            name,
            int64(
              dims,
              Array.from({ length: count }, () => range[0] + draw.integer(range[1] - range[0])),
            ),
          ];
    }),
  );
}

/** The same for a model of the shared folder, for two choices of channels. */
export async function expectModelSameAsSilenced(name: string): Promise<void> {
  const path = shared(`data/models/${name}.onnx`) ?? "";
  const model = await open(path);
  const inputs = Object.fromEntries(
    model.graph.feeds.map((value) => [
      value.name,
      (value.type?.dims ?? []).map((dim) => (typeof dim === "number" ? dim : 2)),
    ]),
  );
  for (const [seed, share] of [
    [1, 0.25],
    [2, 0.7],
  ] as const) {
    const change = await expectSameAsSilenced(() => open(path), feedsOf({ name, text: "", inputs }, seed), seed, share);
    // Equal to the original would mean that nothing was silenced.
    expect(change).toBeGreaterThan(1e-4);
  }
}
