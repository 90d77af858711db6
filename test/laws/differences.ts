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
import { fixedDims } from "../../src/tensor/dims.ts";
import { random } from "../../src/tensor/random.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";
import { engine, lastNode, numeric } from "./harness.ts";

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

export const cotangentName = (output: Value): string => `${output.name}_cotangent`;
const gradientName = (input: Value): string => `${input.name}_gradient`;

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
 * Gradients of Σ cotangent · output with respect to every floating input of the last node, by what its entry emits.
 * A Miss if the entry has none.
 */
export async function gradients(original: Model, feeds: Batch, given: Batch): Promise<Batch | Miss> {
  const model = original.clone();
  const inference = infer(model);
  const node = lastNode(model);
  const bound = inference.at(node);
  if (bound instanceof Miss) return bound;
  const upstream = node.outputs.map((output) => {
    const cotangent = output === undefined ? undefined : given[output.name];
    if (output === undefined || cotangent === undefined) return undefined;
    return model.graph.addInput(cotangentName(output), { type: cotangent.type, dims: cotangent.dims });
  });
  const emit = emitInto(model, { onNode: inference.visit });
  const wanted = (input: number): boolean => isFloat(node.inputs[input]);
  const found = bound.gradient({ emit, inputs: node.inputs, outputs: node.outputs, upstream, wanted });
  if (found instanceof Miss) return found;
  if (inference.misses.length > 0) throw new Error(`an emitted node: ${inference.misses[0]?.reason}`);

  const parts = new Map<Value, Value>();
  node.inputs.forEach((input, index) => {
    const part = found[index];
    if (input === undefined || !wanted(index) || part === undefined) return;
    const sum = sumTo(part, input, (axes) => [
      emit.constant(fromNumbers("int64", [axes.length], axes), "axes"),
      (value, constant, keepdims) => emit.ReduceSum([value, constant], { keepdims }),
    ]);
    const other = parts.get(input);
    parts.set(input, other === undefined ? sum : emit.Add([other, sum]));
  });
  const outputs = [...parts].map(([input, part]) => emit.named(gradientName(input)).Identity([part]));
  model.graph.setOutputs(outputs);
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const cotangentFeeds = Object.fromEntries(Object.entries(given).map(([name, dense]) => [`${name}_cotangent`, dense]));
  const results = outputs.length === 0 ? {} : await session.run({ ...feeds, ...cotangentFeeds });
  await session.release();
  const byInput = new Map([...parts.keys()].map((input, index) => [input, results[outputs[index]?.name ?? ""]]));
  return Object.fromEntries(
    node.inputs.filter(isFloat).map((input) => [input.name, byInput.get(input) ?? zerosLike(feeds[input.name])]),
  );
}

/** A gradient that the entry leaves out is zero. */
function zerosLike(dense: Dense | undefined): Dense {
  if (dense === undefined) throw new Error("an input was not fed");
  return fromNumbers(numeric(dense.type), dense.dims, new Float64Array(dense.data.length));
}

/** Sums over what broadcasting repeated: leading axes that the input lacks, and axes that have size 1 there. */
function sumTo(
  part: Value,
  input: Value,
  tools: (axes: readonly number[]) => readonly [Value, (value: Value, axes: Value, keepdims: number) => Value],
): Value {
  const [from, to] = [fixedDims(part.type?.dims), fixedDims(input.type?.dims)];
  if (from === undefined || to === undefined) throw new Error(`the dimensions of "${part.name}" are not fixed`);
  const extra = from.length - to.length;
  const leading = Array.from({ length: extra }, (_, axis) => axis);
  const ones = to.flatMap((dim, axis) => (dim === 1 && from[axis + extra] !== 1 ? [axis] : []));
  const over = (value: Value, axes: readonly number[], keepdims: number): Value => {
    if (axes.length === 0) return value;
    const [constant, sum] = tools(axes);
    return sum(value, constant, keepdims);
  };
  return over(over(part, leading, 0), ones, 1);
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
  for (const input of new Set(lastNode(model).inputs.filter(isFloat))) {
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
