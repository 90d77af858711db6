/**
 * Evaluates what depends on stored tensors alone, once, by the engine, and stores the result.
 *
 * Before: `w = Reshape(weight, shape); y = MatMul(x, w)`. After: `y = MatMul(x, w)` with `w` stored.
 * Roles are honoured: a node whose input or output has a role (a mask, a parameter) stays. Nodes that blow a tensor up (Expand of a
 * scalar) stay too: the result may be no larger than the stored tensors that go away for it and `growth`; a tensor that something else reads as
 * well (a tied embedding, transposed) does not go. Numbers that are stored in 8 bits or fewer, or as
 * integers with a scale (the bias of a quantized layer), are stored so on purpose, and are not turned back into floats. Where constant nodes stay,
 * those before them stay too, unless their result is small: the runtime computes all of them once, before it runs. Random numbers are drawn when the
 * model runs.
 */

import * as v from "valibot";
import { type Inference, infer, isRandom } from "../analysis/infer.ts";
import { computedWeights, mostGrowth } from "../analysis/layers.ts";
import { arithmeticTypes } from "../analysis/weight.ts";
import type { Engine } from "../engine/index.ts";
import { Miss, PithError } from "../errors.ts";
import { allNodes, describe, type Graph, type Node, subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { substitute } from "../graph/replace.ts";
import { isFloat } from "../tensor/convert.ts";
import { bytesFor, inMemory } from "../tensor/dense.ts";
import { elementCount, fixedDims, sameDims } from "../tensor/dims.ts";
import { bitsOf, type Dense } from "../tensor/types.ts";
import { described } from "./options.ts";
import { type Change, type Context, definePass } from "./pass.ts";
import { protectedValues } from "./protected.ts";
import { isUsed, removeUnusedEverywhere } from "./remove-unused.ts";
import { heldTensor, storeInPlace } from "./store-constants.ts";
import { evaluate } from "./stored.ts";

export const foldConstants = definePass({
  id: "fold-constants",
  summary: "Evaluate nodes that depend only on stored tensors",
  options: v.strictObject({
    growth: described(
      v.optional(v.pipe(v.number("takes a number of bytes"), v.minValue(0, "takes a number of bytes")), mostGrowth),
      // Small enough not to matter in a file, large enough for index arithmetic.
      "maximum growth of a folded result over its inputs, in bytes",
    ),
  }),
  async run(model, { growth }, context) {
    const folded = foldable(model, infer(model), growth);
    const wanted = [...folded].flatMap((node) =>
      node.outputs.flatMap((output) => (output !== undefined && isNeeded(output, folded) ? [output] : [])),
    );
    if (wanted.length === 0) return { changes: [], misses: [] };
    const { results, misses } = await evaluateAll(model, wanted, context.engine);
    const changes: Change[] = [];
    for (const [output, result] of results) {
      if (output.producer === undefined) continue;
      changes.push({ at: describe(output.producer), what: "constant folded", decidedBy: "global" });
      storeInPlace(output, result);
    }
    if (changes.length > 0) removeUnusedEverywhere(model);
    return { changes, misses };
  },
});

/** What `foldWeights` holds in memory, at most. */
const mostHeld = 2 ** 26;

/**
 * Stores the weights of layers that are computed from stored floats, in the graph of these: exporters reorder the gates of a recurrent layer so.
 * Branches that compute the same share it.
 */
export async function foldWeights(model: Model, { engine }: Pick<Context, "engine">): Promise<void> {
  const inference = infer(model);
  let held = 0;
  const wanted = new Map<Value, Graph>();
  for (const value of computedWeights(model, inference)) {
    const behind = floatsBehind(value);
    const size = sizeOf(value);
    if (size === 0 || inference.operand(value)?.stored !== true || behind === undefined || size > behind.bytes)
      continue;
    held += size;
    if (held <= mostHeld) wanted.set(value, behind.graph);
  }
  if (wanted.size === 0) return;
  const stored: { readonly graph: Graph; readonly dense: Dense; readonly value: Value }[] = [];
  for (const [output, dense] of (await evaluateAll(model, [...wanted.keys()], engine)).results) {
    const graph = wanted.get(output) ?? output.graph;
    const same = stored.find((other) => other.graph === graph && isEqual(other.dense, dense));
    const value = same?.value ?? graph.addTensor(`${output.name}.stored`, inMemory(dense));
    if (same === undefined) stored.push({ graph, dense, value });
    substitute(output, value);
  }
  removeUnusedEverywhere(model);
}

const isEqual = (a: Dense, b: Dense): boolean =>
  a.type === b.type && sameDims(a.dims, b.dims) && a.data.every((entry, at) => Object.is(entry, b.data[at]));

const sizeOf = ({ type }: Value): number => {
  const dims = fixedDims(type?.dims);
  return dims === undefined || type === undefined || !isFloat(type.type) ? 0 : bytesFor(type.type, elementCount(dims));
};

/** The stored floats that a value is computed from: their bytes, and the innermost of their graphs. None where one has a role, or codes are among them. */
function floatsBehind(value: Value): { readonly bytes: number; readonly graph: Graph } | undefined {
  let bytes = 0;
  let innermost: Value | undefined;
  const seen = new Set([value]);
  for (const found of seen) {
    const { role, tensor, producer, graph } = found;
    const isCodes = tensor !== undefined && !isFloat(tensor.type) && !arithmeticTypes.has(tensor.type);
    if (role !== undefined || (isCodes && tensor.type !== "int32")) return undefined;
    if (tensor !== undefined && isFloat(tensor.type)) {
      bytes += tensor.bytes;
      if (innermost === undefined || graph.sees(innermost)) innermost = found;
    }
    for (const input of producer?.inputs ?? []) if (input !== undefined) seen.add(input);
  }
  return innermost === undefined ? undefined : { bytes, graph: innermost.graph };
}

/** Whether anything but nodes that are evaluated too reads a value. */
function isNeeded(value: Value, folded: ReadonlySet<Node>): boolean {
  return isUsed(value) && (value.graph.isOutput(value) || [...value.uses].some(({ node }) => !folded.has(node)));
}

function foldable(model: Model, inference: Inference, growth: number): ReadonlySet<Node> {
  const isHeld = protectedValues(model, inference);
  const left = new Set<Node>();
  for (;;) {
    const folded = foldedExcept(left, model, inference, isHeld, growth);
    const before = left.size;
    for (const node of [...folded].reverse()) {
      const isLeft = node.outputs.some(
        (output) =>
          output !== undefined &&
          isNeeded(output, folded) &&
          isReadByConstants(output, inference) &&
          grows(node, output, folded) > Math.min(growth, smallWeight),
      );
      if (!isLeft) continue;
      folded.delete(node);
      left.add(node);
    }
    // What is left no longer makes room for others.
    if (left.size === before) return folded;
  }
}

/** Whether only constants are computed from a value. */
function isReadByConstants(value: Value, inference: Inference): boolean {
  const isConstant = ({ outputs }: Node): boolean =>
    outputs.every((output) => output === undefined || inference.operand(output)?.stored === true);
  return !value.graph.isOutput(value) && [...value.uses].every(({ node }) => isConstant(node));
}

function foldedExcept(
  left: ReadonlySet<Node>,
  model: Model,
  inference: Inference,
  isHeld: (value: Value) => boolean,
  growth: number,
): Set<Node> {
  const folded = new Set<Node>();
  const isGiven = (value: Value): boolean => {
    const { tensor, producer, role } = value;
    if (role !== undefined || isHeld(value)) return false;
    if (tensor !== undefined) return true;
    return producer !== undefined && (folded.has(producer) || (producer.inputs.length === 0 && isConstant(value)));
  };
  const isConstant = (value: Value): boolean => inference.operand(value)?.stored === true && isKnown(value);
  // A node without inputs is a constant if its entry says what it holds.
  const isKnown = ({ producer }: Value): boolean =>
    producer !== undefined && !isRandom(producer) && !(inference.at(producer) instanceof Miss);
  for (const node of allNodes(model.graph)) {
    const given =
      !left.has(node) &&
      node.inputs.length > 0 &&
      !isRandom(node) &&
      subgraphs(node).length === 0 &&
      node.inputs.every((input) => input === undefined || isGiven(input));
    if (given && node.outputs.every((output) => output === undefined || mayBeStored(node, output, growth, folded)))
      folded.add(node);
  }
  return folded;
}

function mayBeStored(node: Node, output: Value, growth: number, folded: ReadonlySet<Node>): boolean {
  const type = output.type?.type;
  if (output.role !== undefined || type === undefined) return false;
  // Several codes in a byte are stored so on purpose, too.
  const most = /^u?int8$/.test(type) ? Math.min(growth, smallWeight) : growth;
  return grows(node, output, folded) <= most && !unpacks(node, output);
}

/** All at once; where the runtime cannot (a type that JavaScript does not hold, no kernel), in halves, so that what it can do is done. */
async function evaluateAll(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<{ readonly results: ReadonlyMap<Value, Dense>; readonly misses: readonly Miss[] }> {
  try {
    return { results: await evaluate(model, values, engine), misses: [] };
  } catch (error) {
    if (!(error instanceof PithError) || (error.code !== "E_ENGINE" && error.code !== "E_UNSUPPORTED")) throw error;
    const [only] = values;
    if (values.length === 1 && only?.producer !== undefined)
      return { results: new Map(), misses: [new Miss("ONNX Runtime cannot evaluate it", describe(only.producer))] };
    const middle = Math.ceil(values.length / 2);
    const [first, second] = [
      await evaluateAll(model, values.slice(0, middle), engine),
      await evaluateAll(model, values.slice(middle), engine),
    ];
    return { results: new Map([...first.results, ...second.results]), misses: [...first.misses, ...second.misses] };
  }
}

function isReal(value: Value | undefined): boolean {
  return value?.type !== undefined && isFloat(value.type.type);
}

/** Whether a result comes from elements of 8 bits or fewer, as many as it has, or from integers and floats: a quantized weight or bias. */
function unpacks(node: Node, output: Value): boolean {
  const count = elementCount(fixedDims(output.type?.dims) ?? []);
  const [x, ...others] = node.inputs;
  const isScaled = /^u?int/.test(x?.type?.type ?? "") && isReal(output) && others.some(isReal);
  if (isScaled && elementCount(fixedDims(x?.type?.dims) ?? []) === count) return true;
  const bits = (value: Value | undefined): number => {
    const type = value?.type?.type;
    return type === undefined || type === "string" || type === "bool" ? 64 : bitsOf[type];
  };
  return (
    bits(output) > 8 &&
    node.inputs.some((input) => bits(input) <= 8 && elementCount(fixedDims(input?.type?.dims) ?? []) === count)
  );
}

/** A weight may be stored in two forms if it takes no more bytes: patterns with small constants are recognized by that. */
const smallWeight = 1024;

/**
 * Bytes of an output beyond those of the stored tensors that go away for it. Infinite for unknown sizes, and for another form of a weight that
 * stays: the file would hold it twice, and what was tied would be no longer.
 */
function grows(node: Node, output: Value, folded: ReadonlySet<Node>): number {
  const size = (value: Value): number => {
    const dims = fixedDims(value.type?.dims);
    if (value.type === undefined || value.type.type === "string" || dims === undefined) return Number.POSITIVE_INFINITY;
    return bytesFor(value.type.type, elementCount(dims));
  };
  const goes = (value: Value): boolean =>
    !value.graph.isOutput(value) && [...value.uses].every((use) => use.node === node || folded.has(use.node));
  const behind = new Set(node.inputs.filter((input) => input !== undefined));
  const whole = size(output);
  const isForm = (input: Value): boolean => isReal(input) && isReal(output) && size(input) === whole && !goes(input);
  if (whole > smallWeight && [...behind].some(isForm)) return Number.POSITIVE_INFINITY;
  let gone = 0;
  for (const value of behind) {
    if (!goes(value)) continue;
    const { tensor, producer } = value;
    gone += (tensor ?? (producer && heldTensor(producer)))?.bytes ?? 0;
    for (const input of producer?.inputs ?? []) if (input !== undefined) behind.add(input);
  }
  return whole - gone;
}
