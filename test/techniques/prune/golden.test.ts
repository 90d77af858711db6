/** Masks, weights and names against `torch.nn.utils.prune`, call by call. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { customFromMask, isPruned, prune, remove } from "../../../src/techniques/prune/index.ts";
import type { PruneOptions } from "../../../src/techniques/prune/options.ts";
import { type GoldenTensor, goldenNumbers, shared } from "../../shared.ts";

interface State {
  readonly weight: GoldenTensor;
  readonly is_parameter: boolean;
  readonly mask?: GoldenTensor;
  readonly orig?: GoldenTensor;
}

type Snapshot = Readonly<Record<string, State>> & { readonly is_pruned: boolean };

interface Step {
  readonly call: string;
  readonly target: "weight" | "bias";
  readonly args: { readonly amount?: Amount; readonly n?: number | string; readonly dim?: number };
  readonly importance_scores?: GoldenTensor;
  readonly mask?: GoldenTensor;
  readonly random?: boolean;
  readonly zeros?: number;
  readonly after: Snapshot;
}

interface Case {
  readonly name: string;
  readonly ties?: boolean;
  readonly parameters: Readonly<Record<string, GoldenTensor>>;
  readonly steps: readonly Step[];
}

interface GlobalCase {
  readonly name: string;
  readonly method: string;
  readonly amount: Amount;
  readonly first_l1_on_tensor_0: Amount | null;
  readonly tensors: readonly GoldenTensor[];
  readonly importance_scores: readonly (GoldenTensor | null)[] | null;
  readonly after: readonly (readonly Snapshot[])[];
}

type Amount = number | { readonly fraction: number } | { readonly count: number };

interface Golden {
  readonly cases: readonly Case[];
  readonly global: readonly GlobalCase[];
}

const path = shared("golden/prune-compat.json");

/** JSON has one kind of number, Python two: 1.0 is written as a fraction before it is parsed. */
function read(file: string): Golden {
  const text = readFileSync(file, "utf8").replace(
    /("(?:amount|first_l1_on_tensor_0)":\s*)(\d+\.\d*(?:e-?\d+)?)/g,
    '$1{"fraction": $2}',
  );
  return JSON.parse(text) as Golden;
}

/** Torch takes a fraction, or a number of the remaining entries. */
async function fractionOf(model: Model, names: readonly string[], amount: Amount = 0): Promise<number> {
  if (typeof amount === "object" && "fraction" in amount) return amount.fraction;
  const count = typeof amount === "object" ? amount.count : amount;
  if (!Number.isInteger(count)) return count;
  const masks = await Promise.all(
    names.map((name) => numbers(model, model.graph.value(`${name}_mask`) === undefined ? name : `${name}_mask`)),
  );
  const counts = masks.map((mask, at) =>
    model.graph.value(`${names[at]}_mask`) === undefined ? mask.length : mask.filter((kept) => kept === 1).length,
  );
  return count / counts.reduce((sum, size) => sum + size, 0);
}

async function mask(model: Model, layers: string[], amount: Amount | undefined, options: PruneOptions = {}) {
  const names = layers.map((layer) => `${layer}.weight`);
  return prune(
    model,
    { layers, amount: await fractionOf(model, names, amount), keepMasks: true, ...options },
    { seed: 1 },
  );
}

const layers = "layer";
const call: Readonly<Record<string, (model: Model, step: Step) => Promise<unknown>>> = {
  l1_unstructured: (model, { args }) => mask(model, [layers], args.amount),
  random_unstructured: (model, { args }) => mask(model, [layers], args.amount, { importance: "random" }),
  custom_from_mask: (model, step) =>
    customFromMask(model, { layers, mask: dense(step.mask ?? { dtype: "", shape: [], data: [] }) }),
  remove: (model) => remove(model, { layers }),
};

const data: Golden = path === undefined ? { cases: [], global: [] } : read(path);
const isNothing = (amount: Amount = 1): boolean =>
  amount === 0 || (typeof amount === "object" && "fraction" in amount && amount.fraction === 0);

/** Calls with a counterpart: of weights, by their own magnitudes, with an amount that is not 0. */
const cases = data.cases.filter(({ steps }) =>
  steps.every(
    (step) =>
      step.call in call &&
      step.target === "weight" &&
      step.importance_scores === undefined &&
      !isNothing(step.args.amount),
  ),
);
/** Pith leaves a layer one weight, unless all are asked for. */
const globalCases = data.global.filter(
  ({ name, importance_scores: scores }) => scores === null && name !== "l1 may empty a tensor" && name !== "twice",
);

const dense = (tensor: GoldenTensor): Dense => float32(tensor.shape, goldenNumbers(tensor));

/**
 * A model in which `layer.weight` (and `layer.bias`) are the parameters of layers. The rules never run the graph, so a tensor of any rank
 * is put in by itself: under a Gemm that reads it as a matrix, behind a Reshape where it is none.
 */
function modelOf(tensors: Readonly<Record<string, Readonly<Record<string, GoldenTensor>>>>): Model {
  const lines: string[] = [];
  const outputs: string[] = [];
  const layers = Object.entries(tensors);
  for (const [layer, parameters] of layers) {
    const { weight, bias } = parameters;
    for (const [name, tensor] of Object.entries(parameters)) {
      lines.push(`  ${layer}.${name}: float32[${tensor.shape.join(", ")}] = zeros`);
    }
    const count = weight?.data.length ?? 0;
    const units = bias?.data.length ?? 1;
    if (weight === undefined) {
      lines.push(`  ${layer}.weight: float32[${units}, 1] = zeros`);
      lines.push(`  ${layer}.y = Gemm "${layer}" (x1, ${layer}.weight, ${layer}.bias) {transB=1}`);
    } else {
      lines.push(`  ${layer}.shape: int64[2] = [${units}, ${count / units}]`);
      lines.push(`  ${layer}.matrix = Reshape (${layer}.weight, ${layer}.shape)`);
      lines.push(`  ${layer}.x = Expand (x1, ${layer}.wide)`, `  ${layer}.wide: int64[2] = [1, ${count / units}]`);
      const operands = bias === undefined ? "" : `, ${layer}.bias`;
      lines.push(`  ${layer}.y = Gemm "${layer}" (${layer}.x, ${layer}.matrix${operands}) {transB=1}`);
    }
    outputs.push(`${layer}.y`);
  }
  const model = parseModel(`opset 21\ngraph (x1: float32[1, 1]) -> (${outputs.join(", ")}) {\n${lines.join("\n")}\n}`);
  for (const [layer, parameters] of layers) {
    for (const [name, tensor] of Object.entries(parameters)) {
      named(model, `${layer}.${name}`).tensor = inMemory(dense(tensor));
    }
  }
  return model;
}

function named(model: Model, name: string): Value {
  const value = model.graph.value(name);
  if (value === undefined) throw new Error(`no value "${name}"`);
  return value;
}

async function numbers(model: Model, name: string): Promise<number[]> {
  const { tensor } = named(model, name);
  if (tensor === undefined) throw new Error(`"${name}" is not stored`);
  return toNumbers(await tensor.read()).map((number) => number + 0);
}

/** Shortest decimals, read back to float32; -0 is 0. */
const exact = (tensor: GoldenTensor): number[] => Array.from(goldenNumbers(tensor), (value) => Math.fround(value) + 0);

/** Expects the names, roles, masks and weights that torch has. */
async function expectState(model: Model, name: string, expected: State): Promise<void> {
  const weight = exact(expected.weight);
  if (expected.mask === undefined || expected.orig === undefined) {
    expect(await numbers(model, name)).toEqual(weight);
    expect(model.graph.value(`${name}_mask`)).toBeUndefined();
    expect(model.graph.value(`${name}_orig`)).toBeUndefined();
    return;
  }
  const mask = await numbers(model, `${name}_mask`);
  const orig = await numbers(model, `${name}_orig`);
  expect(mask).toEqual(exact(expected.mask));
  expect(orig).toEqual(exact(expected.orig));
  expect(orig.map((value, index) => value * (mask[index] ?? 0) + 0)).toEqual(weight);
  expect(named(model, `${name}_mask`).role?.kind).toBe("mask");
  expect(named(model, `${name}_orig`).role?.kind).toBe("parameter");
  expect(named(model, name).producer?.inputs.map((input) => input?.name)).toEqual([`${name}_orig`, `${name}_mask`]);
}

describe.skipIf(path === undefined)("torch.nn.utils.prune, one parameter", () => {
  test.each(cases.map((golden) => [golden.name, golden] as const))("equals torch: %s", async (_, golden) => {
    const model = modelOf({ layer: golden.parameters });
    let loose = golden.ties === true;
    for (const step of golden.steps) {
      const before = await effective(model, step.target);
      await call[step.call]?.(model, step);
      expect(isPruned(model)).toBe(step.after.is_pruned);
      loose ||= step.random === true;
      for (const name of Object.keys(golden.parameters)) {
        const state = step.after[name];
        if (state === undefined) throw new Error(`no state of ${name}`);
        if (loose && state.mask !== undefined) await expectCount(model, `layer.${name}`, state.mask, step, before);
        else await expectState(model, `layer.${name}`, state);
      }
    }
  });

  /** Expects as many pruned entries, none restored, and (with ties) no pruned entry larger than a kept one. */
  async function expectCount(
    model: Model,
    name: string,
    expected: GoldenTensor,
    step: Step,
    before: readonly number[],
  ): Promise<void> {
    const mask = await numbers(model, `${name}_mask`);
    const countZeros = (list: readonly number[]): number => list.filter((entry) => entry === 0).length;
    expect(countZeros(mask)).toBe(countZeros([...goldenNumbers(expected)]));
    if (step.random === true) return;
    const sizes = (kept: number): number[] =>
      before.flatMap((value, index) => (mask[index] === kept ? [Math.abs(value)] : []));
    expect(Math.max(0, ...sizes(0))).toBeLessThanOrEqual(Math.min(Number.POSITIVE_INFINITY, ...sizes(1)));
  }

  async function effective(model: Model, target: string): Promise<number[]> {
    const name = `layer.${target}`;
    if (model.graph.value(`${name}_orig`) === undefined) return numbers(model, name);
    const mask = await numbers(model, `${name}_mask`);
    return (await numbers(model, `${name}_orig`)).map((value, index) => value * (mask[index] ?? 0));
  }
});

describe.skipIf(path === undefined)("torch.nn.utils.prune, several parameters jointly", () => {
  test.each(globalCases.map((golden) => [golden.name, golden] as const))("equals torch: %s", async (_, golden) => {
    const names = golden.tensors.map((_, index) => `layer${index}`);
    const model = modelOf(
      Object.fromEntries(golden.tensors.map((weight, index) => [`layer${index}`, { weight }] as const)),
    );
    if (golden.first_l1_on_tensor_0 !== null) {
      await mask(model, ["layer0"], golden.first_l1_on_tensor_0);
    }
    const isRandom = golden.method === "RandomUnstructured";
    for (const states of golden.after) {
      await mask(model, names, golden.amount, { scope: "global", importance: isRandom ? "random" : "magnitude" });
      if (isRandom) {
        const zeros = (lists: readonly (readonly number[])[]): number =>
          lists.flat().filter((kept) => kept === 0).length;
        const got = await Promise.all(names.map((name) => numbers(model, `${name}.weight_mask`)));
        const expected = states.map(({ weight }) => [
          ...goldenNumbers(weight?.mask ?? { dtype: "", shape: [], data: [] }),
        ]);
        expect(zeros(got)).toBe(zeros(expected));
        continue;
      }
      for (const [index, { weight }] of states.entries()) {
        if (weight === undefined) throw new Error("no state");
        await expectState(model, `layer${index}.weight`, weight);
      }
    }
  });
});
