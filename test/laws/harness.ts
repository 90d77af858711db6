/** Builds models from examples of operators, and runs them. */
import { expect } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Session } from "../../src/core/engine/engine.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Node } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { replaceUses } from "../../src/core/graph/replace.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import type { Op } from "../../src/core/ops/define.ts";
import { operators } from "../../src/core/ops/index.ts";
import { fromNumbers, type NumericType, toFloat64 } from "../../src/core/tensor/convert.ts";
import { type Dim, dimValue, elementCount } from "../../src/core/tensor/dims.ts";
import { getOrAdd } from "../../src/core/tensor/get-or-add.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch, DataType, Dense } from "../../src/core/tensor/types.ts";
import type { Example, Law } from "../core/ops/define.examples.ts";
import { examples } from "./examples.ts";

/** The engine that all tests of a file share. */
export const engine = createEngine();

/** Returns the model of an example with its named dimensions, in float32 or float64. */
export function symbolicModel(example: Example, floats: "float32" | "float64" = "float32"): Model {
  const text = example.text.replaceAll(/\bfloat32\b/g, floats);
  const end = text.indexOf(")") + 1;
  const [inputs, body] = [text.slice(0, end), text.slice(end)];
  const used = ["com.microsoft", "com.microsoft.nchwc"].filter((domain) => body.includes(`${domain}.`));
  const domains = used.map((domain) => `, ${domain} 1`).join("");
  const model = parseModel(`opset ${example.opset}${domains}\ngraph ${inputs} -> () {${body}}`);
  model.graph.setOutputs(lastNode(model).outputs.filter((output) => output !== undefined));
  return model;
}

/** Returns the model of an example with numbers for its named dimensions. */
export function fixedModel(example: Example, floats: "float32" | "float64" = "float32"): Model {
  const model = symbolicModel(example, floats);
  for (const value of model.graph.inputs) {
    if (value.type?.dims === undefined) continue;
    value.type = { type: value.type.type, dims: value.type.dims.map((dim) => numberOf(dim, example.sizes)) };
  }
  return model;
}

/** Returns the number of a dimension for the given sizes; NaN if only a run determines it. */
export function numberOf(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  return dimValue(dim, sizes) ?? Number.NaN;
}

export function lastNode(model: Model): Node {
  const node = [...model.graph.nodes()].at(-1);
  if (node === undefined) throw new Error("an example has no node");
  return node;
}

const operatorsByExample = new Map<Example, Op>();

/** Returns the operator definition of an example. */
export const operatorOf = (example: Example): Op => getOrAdd(operatorsByExample, example, () => findOperator(example));

function findOperator(example: Example): Op {
  const node = lastNode(symbolicModel(example));
  const op = operators.find(node.domain, node.op);
  if (op === undefined) throw new Error(`${example.title}: there is no entry for ${node.op}`);
  return op;
}

/** Returns the inputs of an example. */
export function feedsOf(model: Model, example: Example): Batch {
  return Object.fromEntries(
    model.graph.feeds.map((value): [string, Dense] => {
      const type = numeric(value.type?.type);
      const dims = (value.type?.dims ?? []).map((dim) => numberOf(dim, example.sizes));
      return [value.name, feed(type, dims, example.feeds[value.name], random(1, example.title, value.name))];
    }),
  );
}

function feed(
  type: Numeric,
  dims: readonly number[],
  given: Example["feeds"][string] | undefined,
  numbers: ReturnType<typeof random>,
): Dense {
  const count = elementCount(dims);
  if (given !== undefined && !("from" in given)) return fromNumbers(type, dims, given);
  const float = type.startsWith("float");
  const { from, to } = given ?? (float ? { from: -1, to: 1 } : { from: 0, to: type === "bool" ? 2 : 4 });
  if (!float)
    return fromNumbers(
      type,
      dims,
      Array.from({ length: count }, () => from + numbers.integer(to - from)),
    );
  // One number in each of `count` equal intervals of the range, so that a small step does not change the order of any two.
  const places = count === 0 ? [] : [...numbers.permutation(count)];
  const step = (to - from) / count;
  return fromNumbers(
    type,
    dims,
    places.map((place) => from + step * (place + numbers.uniform(0.3, 0.7))),
  );
}

type Numeric = Exclude<NumericType, "float8e8m0">;

export function numeric(type: DataType | undefined): Numeric {
  if (type === undefined || type === "string" || type.startsWith("complex") || type === "float8e8m0")
    throw new Error(`an example has an operand of type ${type}`);
  return type as Numeric;
}

/** Returns the model with its nodes lowered to primitives; undefined if the last node is a primitive. */
export function loweredModel(original: Model): Model | undefined {
  const model = original.clone();
  const inference = infer(model);
  const last = lastNode(model);
  for (const node of [...model.graph.nodes()]) {
    const bound = inference.at(node);
    const emit = emitInto(model, { before: node, onNode: inference.visit });
    const lowered = bound instanceof Miss ? bound : bound.lower(emit, node.inputs);
    if (lowered instanceof Miss) {
      if (node === last) return undefined;
      continue;
    }
    node.outputs.forEach((output, index) => {
      const replacement = lowered[index];
      if (output !== undefined && replacement !== undefined) replaceUses(output, replacement);
    });
    model.graph.removeNode(node);
  }
  return model;
}

/** Loads a session as training does, and releases it even if `use` fails. */
export async function withSession<T>(model: Model, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await engine.load(model, { optimize: false, threads: 1 });
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}

/** Loads, runs once and releases. Also checks the law that a run does not change its inputs. */
export async function run(model: Model, feeds: Batch): Promise<Batch> {
  return withSession(model, async (session) => {
    const before = structuredClone(feeds);
    const results = await session.run(feeds);
    expect(feeds, "fed buffers").toEqual(before);
    return results;
  });
}

const outputsByExample = new Map<Example, Promise<Batch>>();

/** Returns the outputs of the fixed model of an example. All laws of a process share one run, so the outputs must not be changed. */
export function outputsOf(example: Example): Promise<Batch> {
  return getOrAdd(outputsByExample, example, () => {
    const model = fixedModel(example);
    return run(model, feedsOf(model, example));
  });
}

/** Returns the largest difference between two tensors, relative to the largest entry of the second (or to 1 if that is smaller). */
export function difference(actual: Dense, expected: Dense): number {
  const [a, b] = [toFloat64(actual), toFloat64(expected)];
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  const scale = Math.max(
    1,
    b.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0),
  );
  return a.reduce((largest, value, index) => Math.max(largest, apart(value, b[index] ?? 0)), 0) / scale;
}

/** Returns the difference of two numbers: 0 for equal infinities and for two NaN, infinite for one NaN. */
function apart(a: number, b: number): number {
  if (Object.is(a, b) || a === b) return 0;
  const gap = Math.abs(a - b);
  return Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
}

/** Returns the reason of a Miss, or undefined for anything else. */
export function reasonOf(answer: unknown): string | undefined {
  return answer instanceof Miss ? answer.reason : undefined;
}

/** Returns the examples of a law by title, without exceptions and without those that the operator definition refuses. */
export function examplesFor(law: Law, where: (example: Example) => boolean = () => true): [string, Example][] {
  return examples
    .filter(({ except, misses }) => (except.run ?? except.sequence ?? except[law] ?? misses.read) === undefined)
    .filter(where)
    .map((example) => [example.title, example]);
}
