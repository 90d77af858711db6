/**
 * Gradients of one node as a separate graph, and by central differences.
 *
 * The loss is Σ cotangent · output over all floating outputs, with random cotangents. The gradient graph is built as in training: the node, an input
 * for each cotangent, the nodes that the operator definition emits, and sums over the broadcast axes.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import type { Session } from "../../src/core/engine/engine.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { sumTo } from "../../src/learn/train/backward-pass.ts";
import { differentiate } from "../../src/learn/train/differentiate.ts";
import { lastNode, loweredModel, numeric, run } from "./harness.ts";

/** Turns stored floating tensors into inputs, so that they can be varied. Returns their values. */
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

function isFloat(value: Value | undefined): value is Value {
  return value?.type?.type === "float32" || value?.type?.type === "float64";
}

/** Returns random cotangents of the floating outputs. @param outputs of the model, or of the same model in another precision if types are inferred. */
export function cotangents(model: Model, outputs: Batch, seed: string): Batch {
  const batch: Record<string, Dense> = {};
  for (const output of model.graph.outputs) {
    const result = outputs[output.name];
    const type = output.type?.type ?? result?.type;
    if (result === undefined || (type !== "float32" && type !== "float64")) continue;
    const numbers = random(1, seed, "cotangent", output.name);
    const data = Array.from({ length: result.data.length }, () => numbers.uniform(-1, 1));
    batch[output.name] = fromNumbers(type, result.dims, data);
  }
  return batch;
}

/**
 * Returns the gradients of Σ cotangent · output with respect to every floating input of a model of one node: from its operator definition, or
 * through its primitives if it is lowered. A Miss if the operator has no gradient. Every floating operand must be an input.
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
  /** Name of an input → name of the output with its gradient. */
  readonly names: ReadonlyMap<string, string>;
}

/** Builds the gradient that the definition of the last node emits. */
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
  const needsGradient = (input: number): boolean => isFloat(node.inputs[input]);
  const inputGradients = bound.gradient({
    emit,
    inputs: node.inputs,
    outputs: node.outputs,
    upstream,
    wanted: needsGradient,
    take: () => undefined,
  });
  if (inputGradients instanceof Miss) return inputGradients;
  if (inference.misses.length > 0) throw new Error(`an emitted node: ${inference.misses[0]?.reason}`);

  const sums = new Map<Value, Value>();
  node.inputs.forEach((input, index) => {
    const part = inputGradients[index];
    if (input === undefined || !needsGradient(index) || part === undefined) return;
    const sum = sumTo(emit, part, input);
    const before = sums.get(input);
    sums.set(input, before === undefined ? sum : emit.Add([before, sum]));
  });
  const outputs = [...sums].map(([input, sum]) => [input.name, emit.Identity([sum])] as const);
  step.graph.setOutputs(outputs.map(([, output]) => output));
  return { step, feeds, names: new Map(outputs.map(([name, output]) => [name, output.name])) };
}

/** Builds the gradients of a whole model as training does. */
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

/** Returns zeros: a gradient that the operator definition omits is zero. */
function zerosLike(dense: Dense | undefined): Dense {
  if (dense === undefined) throw new Error("an input was not fed");
  return fromNumbers(numeric(dense.type), dense.dims, new Float64Array(dense.data.length));
}

/**
 * Returns the largest gap between gradients and central differences. The gap of an entry is the smallest over several step sizes, relative to the
 * largest entry of its tensor (or to 1 if that is smaller). A further step size is tried only for entries whose gap is not yet below `tolerance`.
 */
export async function worstGap(
  session: Session,
  feeds: Batch,
  given: Batch,
  gradients: Batch,
  { steps, tolerance }: { readonly steps: readonly number[]; readonly tolerance: number },
): Promise<number> {
  const weights = Object.entries(given).map(([name, cotangent]) => [name, toFloat64(cotangent)] as const);
  const loss = async (changed: Batch): Promise<number> => {
    const outputs = await session.run(changed);
    let sum = 0;
    for (const [name, cotangent] of weights) {
      toFloat64(outputs[name] as Dense).forEach((value, index) => {
        sum += value * (cotangent[index] ?? 0);
      });
    }
    return sum;
  };
  let worst = 0;
  for (const [name, gradient] of Object.entries(gradients)) {
    const dense = feeds[name];
    if ((dense?.type !== "float32" && dense?.type !== "float64") || dense.data.length !== gradient.data.length)
      return Number.POSITIVE_INFINITY;
    const got = toFloat64(gradient);
    const scale = got.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
    const slope = async (index: number, step: number): Promise<number> => {
      const data = dense.data.slice();
      const changed: Batch = { ...feeds, [name]: { ...dense, data } as Dense };
      const lossAt = (place: number): Promise<number> => {
        data[index] = place;
        return loss(changed);
      };
      const middle = dense.data[index] ?? 0;
      const up = await lossAt(middle + step);
      // Rounding changes the step, so the quotient uses the actual one.
      const upper = data[index] ?? 0;
      const down = await lossAt(middle - step);
      return (up - down) / (upper - (data[index] ?? 0));
    };
    for (const [index, value] of got.entries()) {
      let gap = Number.POSITIVE_INFINITY;
      for (const step of steps) {
        const distance = Math.abs(value - (await slope(index, step))) / scale;
        if (distance < gap) gap = distance;
        if (gap < tolerance) break;
      }
      worst = Math.max(worst, gap);
    }
  }
  return worst;
}
