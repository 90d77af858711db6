/**
 * Gradients of one node as a graph of their own, and the same by central differences.
 *
 * The loss is Σ cotangent · output over all floating outputs, with random cotangents. A gradient is written as in training: the node, an input
 * for each cotangent, what the entry emits, and sums over the axes that were broadcast.
 */
import { infer } from "../../src/analysis/infer.ts";
import { Miss } from "../../src/errors.ts";
import { emitInto } from "../../src/graph/emit.ts";
import type { Value } from "../../src/graph/graph.ts";
import type { Model } from "../../src/graph/model.ts";
import { fromNumbers, toFloat64 } from "../../src/tensor/convert.ts";
import { inMemory } from "../../src/tensor/dense.ts";
import { random } from "../../src/tensor/random.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";
import { differentiate, sumTo } from "../../src/train/differentiate.ts";
import { engine, lastNode, loweredModel, numeric, run } from "./harness.ts";

/** Lets stored floating tensors be fed, so that they can be varied. Returns what to feed for them. */
export async function feedStored(model: Model): Promise<Batch> {
  const feeds: Record<string, Dense> = {};
  for (const value of model.graph.values()) {
    if (value.tensor === undefined || !isFloat(value)) continue;
    feeds[value.name] = await value.tensor.read();
    value.tensor = undefined;
    model.graph.setInputs([...model.graph.inputs, value]);
  }
  return feeds;
}

export function isFloat(value: Value | undefined): value is Value {
  return value?.type?.type === "float32" || value?.type?.type === "float64";
}

/** Random cotangents of the floating outputs. */
export function cotangents(model: Model, outputs: Batch, seed: string): Batch {
  const batch: Record<string, Dense> = {};
  for (const output of model.graph.outputs) {
    const result = outputs[output.name];
    if (result?.type !== "float32" && result?.type !== "float64") continue;
    const numbers = random(1, seed, "cotangent", output.name);
    const data = Array.from({ length: result.data.length }, () => numbers.uniform(-1, 1));
    batch[output.name] = fromNumbers(result.type, result.dims, data);
  }
  return batch;
}

/**
 * Gradients of Σ cotangent · output with respect to every floating input of a model of one node: by what its entry emits, or through its
 * primitives where it is lowered. A Miss if the entry has none. Every floating operand must be fed.
 */
export async function gradients(model: Model, feeds: Batch, given: Batch): Promise<Batch | Miss> {
  const lowered = loweredModel(model);
  const built = lowered === undefined ? emitted(model.clone(), given) : trained(lowered, feeds, given);
  if (built instanceof Miss) return built;
  const { step, names } = built;
  const all = only(step, { ...feeds, ...built.feeds });
  const results = step.graph.outputs.length === 0 ? {} : await run(step, all);
  const floats = model.graph.inputs.filter(isFloat);
  return Object.fromEntries(floats.map(({ name }) => [name, results[names.get(name) ?? ""] ?? zerosLike(feeds[name])]));
}

interface Built {
  readonly step: Model;
  readonly feeds: Batch;
  /** Input → output with its gradient. */
  readonly names: ReadonlyMap<string, string>;
}

/** The gradient that the entry of the last node emits. */
function emitted(step: Model, given: Batch): Built | Miss {
  const inference = infer(step);
  const node = lastNode(step);
  const bound = inference.at(node);
  if (bound instanceof Miss) return bound;
  const feeds: Record<string, Dense> = {};
  const upstream = node.outputs.map((output) => {
    const cotangent = output === undefined ? undefined : given[output.name];
    if (output === undefined || cotangent === undefined) return undefined;
    const name = `${output.name}_cotangent`;
    feeds[name] = cotangent;
    return step.graph.addInput(name, { type: cotangent.type, dims: cotangent.dims });
  });
  const emit = emitInto(step, { onNode: inference.visit });
  const wanted = (input: number): boolean => isFloat(node.inputs[input]);
  const found = bound.gradient({
    emit,
    inputs: node.inputs,
    outputs: node.outputs,
    upstream,
    wanted,
    take: () => undefined,
  });
  if (found instanceof Miss) return found;
  if (inference.misses.length > 0) throw new Error(`an emitted node: ${inference.misses[0]?.reason}`);

  const sums = new Map<Value, Value>();
  node.inputs.forEach((input, index) => {
    const part = found[index];
    if (input === undefined || !wanted(index) || part === undefined) return;
    const sum = sumTo(emit, part, input);
    const before = sums.get(input);
    sums.set(input, before === undefined ? sum : emit.Add([before, sum]));
  });
  const outputs = [...sums].map(([input, sum]) => [input.name, emit.Identity([sum])] as const);
  step.graph.setOutputs(outputs.map(([, output]) => output));
  return { step, feeds, names: new Map(outputs.map(([name, output]) => [name, output.name])) };
}

/** The gradients of a whole model as training makes them. */
function trained(model: Model, feeds: Batch, given: Batch): Built {
  const emit = emitInto(model);
  const parts = Object.entries(given).map(([name, cotangent]) => {
    const output = model.graph.value(name);
    if (output === undefined) throw new Error(`there is no output "${name}"`);
    return emit.ReduceSum([emit.Mul([output, emit.constant(cotangent)])], { keepdims: 0 });
  });
  const loss = parts.reduce((sum, part) => emit.Add([sum, part]));
  const floats = model.graph.inputs.filter(isFloat);
  for (const input of floats) input.tensor = inMemory(feeds[input.name] as Dense);
  model.graph.setInputs(model.graph.inputs.filter((input) => !isFloat(input)));
  const { step, gradients: names } = differentiate(model, {
    loss: loss.name,
    wrt: (value) => floats.some((input) => input.name === value.name),
  });
  return { step, feeds: {}, names };
}

function only(model: Model, feeds: Batch): Batch {
  return Object.fromEntries(
    Object.entries(feeds).filter(([name]) => model.graph.feeds.some((value) => value.name === name)),
  );
}

/** A gradient that the entry leaves out is zero. */
function zerosLike(dense: Dense | undefined): Dense {
  if (dense === undefined) throw new Error("an input was not fed");
  return fromNumbers(numeric(dense.type), dense.dims, new Float64Array(dense.data.length));
}

/** dLoss/dx for each floating input, by central differences with each of the steps. */
export async function differences(
  model: Model,
  feeds: Batch,
  given: Batch,
  steps: readonly number[],
): Promise<ReadonlyMap<string, readonly Float64Array[]>> {
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const loss = async (changed: Batch): Promise<number> => {
    const outputs = await session.run(changed);
    let sum = 0;
    for (const [name, cotangent] of Object.entries(given)) {
      const [y, c] = [toFloat64(outputs[name] as Dense), toFloat64(cotangent)];
      y.forEach((value, index) => {
        sum += value * (c[index] ?? 0);
      });
    }
    return sum;
  };
  const result = new Map<string, readonly Float64Array[]>();
  for (const input of model.graph.inputs.filter(isFloat)) {
    const dense = feeds[input.name];
    if (dense?.type !== "float32" && dense?.type !== "float64") continue;
    const perStep = steps.map(() => new Float64Array(dense.data.length));
    for (let index = 0; index < dense.data.length; index++) {
      for (const [which, step] of steps.entries()) {
        // The step that was really taken, after rounding.
        const [up, down] = [dense.data.slice(), dense.data.slice()];
        up[index] = (dense.data[index] ?? 0) + step;
        down[index] = (dense.data[index] ?? 0) - step;
        const at = (data: Float32Array | Float64Array): Batch => ({
          ...feeds,
          [input.name]: { ...dense, data } as Dense,
        });
        const change = (await loss(at(up))) - (await loss(at(down)));
        const slopes = perStep[which];
        if (slopes !== undefined) slopes[index] = change / ((up[index] ?? 0) - (down[index] ?? 0));
      }
    }
    result.set(input.name, perStep);
  }
  await session.release();
  return result;
}

/** For each entry the difference to the best step, relative to the greatest entry (to 1 if that is smaller); the greatest of these. */
export function bestDifference(actual: Dense, perStep: readonly Float64Array[]): number {
  const got = toFloat64(actual);
  let [worst, scale] = [0, 1];
  got.forEach((value, index) => {
    const gaps = perStep.map((slopes) => Math.abs(value - (slopes[index] ?? Number.NaN)));
    const finite = gaps.filter((gap) => !Number.isNaN(gap));
    worst = Math.max(worst, finite.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...finite));
    scale = Math.max(scale, Math.abs(value));
  });
  return perStep.some((slopes) => slopes.length !== got.length) ? Number.POSITIVE_INFINITY : worst / scale;
}
