/**
 * Evaluates nodes that depend only on stored tensors once, with the engine, and stores the results. Random nodes, unknown operators and values with
 * roles stay. So do results that would enlarge the file: fills, weights of fewer bits after a Cast, scaled integers, copies of a shared tensor.
 */

import { arithmeticTypes, computedWeights, type Inference, infer, isDeterministic } from "#analysis";
import type { Dense, Graph, Model, Node, Value } from "#ir";
import {
  allNodes,
  bitsOf,
  bytesFor,
  elementCount,
  fixedDims,
  inMemory,
  isFloat,
  isUsed,
  Miss,
  nodeText,
  PithError,
  removeUnusedEverywhere,
  sameDims,
  subgraphs,
  substitute,
} from "#ir";
import { type Change, type Context, definePass, noOptions } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import { evaluate } from "../edit/stored-values.ts";
import { cleanUpChange } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";
import { constantOf, storeInPlace } from "./store-constants.ts";

export const foldConstants = definePass({
  id: "fold-constants",
  summary: "Evaluate nodes that depend only on stored tensors",
  options: noOptions,
  async run(model, _, context) {
    const foldedNodes = findFoldable(model, infer(model));
    const neededValues = [...foldedNodes].flatMap((node) => neededOutputs(node, foldedNodes));
    if (neededValues.length === 0) return { changes: [], misses: [] };
    const { results, misses } = await evaluateAll(model, neededValues, context.engine);
    const changes: Change[] = [];
    for (const [output, result] of results) {
      // ONNX Runtime computes some reductions of empty tensors in another size than the standard demands.
      if (output.producer === undefined || !sameDims(result.dims, output.type?.dims ?? result.dims)) continue;
      changes.push(cleanUpChange(nodeText(output.producer), "constant folded"));
      storeInPlace(output, result);
    }
    if (changes.length > 0) removeUnusedEverywhere(model);
    return { changes, misses };
  },
});

/** Maximum bytes of results in memory. */
const maxResultBytes = 2 ** 26;

/** Stores weights computed from stored floats, in the graph of these floats: exporters reorder recurrent gates so. */
export async function foldWeights(model: Model, { engine }: Pick<Context, "engine">): Promise<void> {
  const inference = infer(model);
  let total = 0;
  const targets = new Map<Value, Graph>();
  for (const value of computedWeights(model, inference)) {
    const sources = floatSources(value);
    const size = bytesOf(value);
    if (!isReal(value) || inference.operand(value)?.stored !== true || sources === undefined || size > sources.bytes)
      continue;
    total += size;
    if (total <= maxResultBytes) targets.set(value, sources.graph);
  }
  if (targets.size === 0) return;
  const storedResults: { readonly graph: Graph; readonly dense: Dense; readonly value: Value }[] = [];
  for (const [output, dense] of (await evaluateAll(model, [...targets.keys()], engine)).results) {
    const graph = targets.get(output) ?? output.graph;
    const equalResult = storedResults.find((other) => other.graph === graph && isEqual(other.dense, dense));
    const value = equalResult?.value ?? graph.addTensor(`${output.name}.stored`, inMemory(dense));
    if (equalResult === undefined) storedResults.push({ graph, dense, value });
    substitute(output, value);
  }
  removeUnusedEverywhere(model);
}

const isEqual = (a: Dense, b: Dense): boolean =>
  a.type === b.type && sameDims(a.dims, b.dims) && a.data.every((entry, index) => Object.is(entry, b.data[index]));

/** Returns bytes and innermost graph of a value's stored float sources; undefined if a source has a role, is quantized or not deterministic. */
function floatSources(value: Value): { readonly bytes: number; readonly graph: Graph } | undefined {
  let bytes = 0;
  let innermost: Value | undefined;
  const visitedValues = new Set([value]);
  for (const source of visitedValues) {
    const { role, tensor, producer, graph } = source;
    const isCodes = tensor !== undefined && !isFloat(tensor.type) && !arithmeticTypes.has(tensor.type);
    if (role !== undefined || (isCodes && tensor.type !== "int32")) return undefined;
    if (producer !== undefined && !isDeterministic(producer)) return undefined;
    if (tensor !== undefined && isFloat(tensor.type)) {
      bytes += tensor.bytes;
      if (innermost === undefined || graph.sees(innermost)) innermost = source;
    }
    for (const input of producer?.inputs ?? []) if (input !== undefined) visitedValues.add(input);
  }
  return innermost === undefined ? undefined : { bytes, graph: innermost.graph };
}

function isNeeded(value: Value, foldedNodes: ReadonlySet<Node>): boolean {
  return isUsed(value) && (value.graph.isOutput(value) || [...value.uses].some(({ node }) => !foldedNodes.has(node)));
}

const neededOutputs = (node: Node, foldedNodes: ReadonlySet<Node>): readonly Value[] =>
  node.outputs.flatMap((output) => (output !== undefined && isNeeded(output, foldedNodes) ? [output] : []));

function findFoldable(model: Model, inference: Inference): ReadonlySet<Node> {
  const isProtected = protectedValues(model, inference);
  const excludedNodes = new Set<Node>();
  for (;;) {
    const folded = foldExcept(excludedNodes, model, inference, isProtected);
    const before = excludedNodes.size;
    const exclude = (node: Node): void => {
      folded.delete(node);
      excludedNodes.add(node);
    };
    const growing: { readonly node: Node; readonly bytes: number }[] = [];
    // In reverse order, because an excluded node reads the results of earlier nodes.
    for (const node of [...folded].reverse()) {
      const bytes = Math.max(0, ...neededOutputs(node, folded).map((output) => computeGrowth(node, output, folded)));
      if (bytes > smallWeight) exclude(node);
      else if (bytes > 0) growing.push({ node, bytes });
    }
    // An excluded node still needs its sources, which changes the growth of other nodes.
    if (excludedNodes.size > before) continue;
    let excess = fileGrowth(folded);
    if (excess <= 0) return folded;
    for (const { node, bytes } of growing.toSorted((a, b) => b.bytes - a.bytes)) {
      if (excess <= 0) break;
      exclude(node);
      excess -= bytes;
    }
    if (excludedNodes.size === before) return new Set();
  }
}

function foldExcept(
  excludedNodes: ReadonlySet<Node>,
  model: Model,
  inference: Inference,
  isProtected: (value: Value) => boolean,
): Set<Node> {
  const foldedNodes = new Set<Node>();
  const isAvailable = (value: Value): boolean => {
    const { tensor, producer, role } = value;
    if (role !== undefined || isProtected(value)) return false;
    if (tensor !== undefined) return true;
    if (producer === undefined || foldedNodes.has(producer)) return producer !== undefined;
    // A node without inputs is constant if its operator is known and not random.
    const isConstant = inference.operand(value)?.stored === true && !(inference.at(producer) instanceof Miss);
    return producer.inputs.length === 0 && isConstant;
  };
  for (const node of allNodes(model.graph)) {
    const isConstantNode =
      !excludedNodes.has(node) &&
      node.inputs.length > 0 &&
      isDeterministic(node) &&
      subgraphs(node).length === 0 &&
      node.inputs.every((input) => input === undefined || isAvailable(input));
    if (isConstantNode && node.outputs.every((output) => output === undefined || canBeStored(node, output)))
      foldedNodes.add(node);
  }
  return foldedNodes;
}

function canBeStored(node: Node, output: Value): boolean {
  const bytes = bytesOf(output);
  const fits = bytes <= maxResultBytes || node.inputs.some((input) => input !== undefined && bytes <= bytesOf(input));
  return output.role === undefined && Number.isFinite(bytes) && fits && !unpacks(node, output);
}

/** Evaluates all values at once; if the runtime cannot, in halves, to isolate failures (missing kernels or types). */
async function evaluateAll(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<{ readonly results: ReadonlyMap<Value, Dense>; readonly misses: readonly Miss[] }> {
  try {
    return { results: await evaluate(model, values, engine), misses: [] };
  } catch (error) {
    if (!(error instanceof PithError) || (error.code !== "E_ENGINE" && error.code !== "E_UNSUPPORTED")) throw error;
    const [failedValue] = values;
    if (values.length === 1 && failedValue?.producer !== undefined)
      return {
        results: new Map(),
        misses: [new Miss("ONNX Runtime cannot evaluate it", nodeText(failedValue.producer))],
      };
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

/** Returns whether a result unpacks stored elements of fewer bits: quantized values, or smaller floats. */
function unpacks(node: Node, output: Value): boolean {
  const count = (value: Value | undefined): number => elementCount(fixedDims(value?.type?.dims) ?? []);
  const bits = (value: Value | undefined): number => {
    const type = value?.type?.type;
    return type === undefined || type === "string" || type === "bool" ? 64 : bitsOf[type];
  };
  const [x, ...operands] = node.inputs;
  const isScaled = /^u?int/.test(x?.type?.type ?? "") && isReal(output) && operands.some(isReal);
  const savingOf = (input: Value | undefined): number => ((bits(output) - bits(input)) / 8) * count(output);
  return node.inputs.some(
    (input) =>
      count(input) === count(output) &&
      ((isScaled && input === x) ||
        (bits(input) <= 8 && savingOf(input) > 0) ||
        (isReal(input) && isReal(output) && savingOf(input) > nodeBytes(node))),
  );
}

/** Bytes by which a result can exceed its sources: runtimes recognize patterns by small constants. */
const smallWeight = 1024;

function bytesOf({ type }: Value): number {
  const dims = fixedDims(type?.dims);
  return type === undefined || type.type === "string" || dims === undefined
    ? Number.POSITIVE_INFINITY
    : bytesFor(type.type, elementCount(dims));
}

/** Returns the bytes of a protobuf field: tag, length (7 bits in a byte), content. */
const entryBytes = (content: number): number => content + 2 + Math.floor(Math.log2(Math.max(1, content)) / 7);

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);

const storedBytes = (value: Value): number =>
  tensorBytes(value.name, fixedDims(value.type?.dims) ?? [], bytesOf(value));

function bytesInFile({ name, tensor, producer }: Value): number {
  const storedTensor = tensor ?? (producer && constantOf(producer));
  return storedTensor === undefined ? 0 : tensorBytes(name, storedTensor.dims, storedTensor.bytes);
}

const tensorBytes = (name: string, dims: readonly number[], bytes: number): number =>
  entryBytes(2 + entryBytes(name.length) + sumOf(dims.map((dim) => entryBytes(dim) - dim)) + entryBytes(bytes));

/** Returns the minimum bytes of a node in the file, without attribute contents and metadata. */
const nodeBytes = ({ op, name, inputs, outputs, attributes }: Node): number => {
  const texts = [op, ...[...inputs, ...outputs].map((value) => value?.name ?? ""), ...(name === "" ? [] : [name])];
  return entryBytes(
    sumOf([
      ...texts.map(({ length }) => entryBytes(length)),
      ...[...attributes.keys()].map(({ length }) => length + 9),
    ]),
  );
};

/** Returns the bytes that storing an output adds to the file. Infinite for unknown sizes, and for another form of a weight that is kept. */
function computeGrowth(node: Node, output: Value, foldedNodes: ReadonlySet<Node>): number {
  const isRemoved = (value: Value): boolean =>
    !value.graph.isOutput(value) && [...value.uses].every((use) => use.node === node || foldedNodes.has(use.node));
  const sources = new Set(node.inputs.filter((input) => input !== undefined));
  const size = bytesOf(output);
  const isOtherForm = (input: Value): boolean =>
    isReal(input) && isReal(output) && bytesOf(input) === size && !isRemoved(input);
  if (size > smallWeight && [...sources].some(isOtherForm)) return Number.POSITIVE_INFINITY;
  let savedBytes = nodeBytes(node);
  for (const value of sources) {
    if (!isRemoved(value)) continue;
    const { producer } = value;
    savedBytes += bytesInFile(value) + (producer === undefined ? 0 : nodeBytes(producer));
    for (const input of producer?.inputs ?? []) if (input !== undefined) sources.add(input);
  }
  return storedBytes(output) - savedBytes;
}

function fileGrowth(foldedNodes: ReadonlySet<Node>): number {
  let bytes = 0;
  const foldedInputs = new Set<Value>();
  for (const node of foldedNodes) {
    bytes -= nodeBytes(node);
    for (const output of neededOutputs(node, foldedNodes)) bytes += storedBytes(output);
    for (const input of node.inputs) if (input !== undefined) foldedInputs.add(input);
  }
  for (const value of foldedInputs) if (!isNeeded(value, foldedNodes)) bytes -= bytesInFile(value);
  return bytes;
}
