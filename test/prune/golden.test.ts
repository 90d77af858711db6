/** Masks, weights and names against `torch.nn.utils.prune`, call by call. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PithError } from "../../src/core/errors.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import {
  customFromMask,
  globalUnstructured,
  identity,
  isPruned,
  l1Unstructured,
  lnStructured,
  randomStructured,
  randomUnstructured,
  remove,
} from "../../src/techniques/prune/index.ts";
import { type GoldenTensor, goldenNumbers, shared } from "../shared.ts";

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
  readonly errors: readonly { readonly name: string; readonly call: string; readonly type: string }[];
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

const data: Golden = path === undefined ? { cases: [], global: [], errors: [] } : read(path);

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

const call: Readonly<Record<string, (model: Model, step: Step) => Promise<unknown>>> = {
  identity: (model, { target }) => identity(model, { layers: "layer", parameter: target }),
  l1_unstructured: (model, step) => l1Unstructured(model, { ...common(step), ...scores(step) }),
  random_unstructured: (model, step) => randomUnstructured(model, { ...common(step), seed: 1 }),
  ln_structured: (model, step) =>
    lnStructured(model, { ...common(step), ...scores(step), n: norm(step), dim: axis(step) }),
  random_structured: (model, step) => randomStructured(model, { ...common(step), dim: axis(step), seed: 1 }),
  custom_from_mask: (model, { target, mask }) =>
    customFromMask(model, {
      layers: "layer",
      parameter: target,
      mask: dense(mask ?? { dtype: "", shape: [], data: [] }),
    }),
  remove: (model, { target }) => remove(model, { layers: "layer", parameter: target }),
};

const common = ({ target, args }: Step) => ({ layers: "layer", parameter: target, amount: args.amount ?? 0 });
const scores = ({ importance_scores: tensor }: Step) =>
  tensor === undefined ? {} : { importanceScores: dense(tensor) };
const norm = ({ args }: Step): number =>
  args.n === "inf" ? Number.POSITIVE_INFINITY : args.n === "-inf" ? Number.NEGATIVE_INFINITY : Number(args.n);
const axis = ({ args }: Step): number => args.dim ?? 0;

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
  test.each(data.cases.map((golden) => [golden.name, golden] as const))("equals torch: %s", async (_, golden) => {
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
  test.each(data.global.map((golden) => [golden.name, golden] as const))("equals torch: %s", async (_, golden) => {
    const names = golden.tensors.map((_, index) => `layer${index}`);
    const model = modelOf(
      Object.fromEntries(golden.tensors.map((weight, index) => [`layer${index}`, { weight }] as const)),
    );
    if (golden.first_l1_on_tensor_0 !== null) {
      await l1Unstructured(model, { layers: "layer0", amount: golden.first_l1_on_tensor_0 });
    }
    const layerScores = (golden.importance_scores ?? []).flatMap((tensor, index) =>
      tensor === null ? [] : [[`layer${index}`, dense(tensor)] as const],
    );
    const method = golden.method === "RandomUnstructured" ? "random" : "l1";
    for (const states of golden.after) {
      await globalUnstructured(model, {
        layers: names,
        amount: golden.amount,
        method,
        importanceScores: Object.fromEntries(layerScores),
      });
      if (method === "random") {
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

describe.skipIf(path === undefined)("calls that torch.nn.utils.prune rejects", () => {
  const shape = data.cases.find(({ name }) => name === "l1 float amount")?.parameters.weight?.shape ?? [5, 7];
  const size = shape.reduce((product, dim) => product * dim, 1);
  const tensor = (...dims: number[]): GoldenTensor => ({
    dtype: "float32",
    shape: dims,
    data: Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, index) => index + 1),
  });
  const matrix = (): Model => modelOf({ layer: { weight: tensor(...shape) } });
  const vector = (): Model => modelOf({ layer: { weight: tensor(9) } });
  const layers = "layer";
  /** Passes a value that only a caller without type checks could pass. */
  const wrong = <T>(value: unknown): T => value as T;
  const table: Readonly<Record<string, readonly [string, () => Promise<unknown>]>> = {
    "float above 1": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: 1.5 })],
    "negative float": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: -0.1 })],
    "negative int": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: -1 })],
    "int above size": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: size + 1 })],
    "amount is a string": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: wrong("0.5") })],
    "amount is None": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: wrong(null) })],
    "NaN amount": ["E_OPTION", () => l1Unstructured(matrix(), { layers, amount: Number.NaN })],
    "int above channels": [
      "E_OPTION",
      () => lnStructured(matrix(), { layers, amount: (shape[0] ?? 0) + 1, n: 2, dim: 0 }),
    ],
    "structured on a vector": ["E_SHAPE_MISMATCH", () => lnStructured(vector(), { layers, amount: 0.5, n: 2, dim: 0 })],
    "random_structured on a vector": [
      "E_SHAPE_MISMATCH",
      () => randomStructured(vector(), { layers, amount: 0.5, dim: 0 }),
    ],
    "dim out of range": ["E_OPTION", () => lnStructured(matrix(), { layers, amount: 0.5, n: 2, dim: 2 })],
    "dim below range": ["E_OPTION", () => randomStructured(matrix(), { layers, amount: 0.5, dim: -3 })],
    "no such tensor": ["E_NAME", () => l1Unstructured(matrix(), { layers, parameter: "bias", amount: 0.5 })],
    "remove without pruning": ["E_OPTION", () => remove(matrix(), { layers })],
    "scores of another shape": [
      "E_SHAPE_MISMATCH",
      () => l1Unstructured(matrix(), { layers, amount: 0.5, importanceScores: dense(tensor(2, 2)) }),
    ],
    "global with a structured method": [
      "E_OPTION",
      () => globalUnstructured(matrix(), { layers, amount: 0.5, method: wrong("ln") }),
    ],
    "global with parameters not iterable of pairs": [
      "E_OPTION",
      () => globalUnstructured(matrix(), { layers: wrong(5), amount: 0.5 }),
    ],
    "global scores not a dict": [
      "E_OPTION",
      () => globalUnstructured(matrix(), { layers, amount: 0.5, importanceScores: wrong([1]) }),
    ],
    "global amount above the total": ["E_OPTION", () => globalUnstructured(matrix(), { layers, amount: size + 1 })],
    "ln with an unknown norm name": [
      "E_OPTION",
      () => lnStructured(matrix(), { layers, amount: 1, n: wrong("abc"), dim: 0 }),
    ],
  };

  test.each(data.errors.map(({ name }) => name))("fail with an error code: %s", async (name) => {
    const entry = table[name];
    if (entry === undefined) throw new Error(`no call for "${name}"`);
    const error = await entry[1]().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(PithError);
    expect((error as PithError).code).toBe(entry[0]);
  });
});
