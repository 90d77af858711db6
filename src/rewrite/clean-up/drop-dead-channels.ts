/**
 * Removes constant channels and folds their values into the next biases.
 *   h = Conv(x, w, b)      w[u] = 0, so h[u] = b[u] wherever x is              h, y without channel u,
 *   y = Conv(Relu(h), v, c)                                                →   c + Σ v[:, u] · Relu(b[u]) in place of c
 * The shift must be equal at all positions: zero padding of a nonzero constant prevents this.
 */

import type { Group, Inference, Layer } from "#analysis";
import {
  biasedOutput,
  channelGroups,
  checkProduct,
  checkWeight,
  createRoundingTest,
  freeUnits,
  infer,
  isRandom,
  layerAt,
  outputSliceOf,
  removeChannels,
} from "#analysis";
import type { AxisLayout, Dense, Model, Node, Tensor, Value } from "#ir";
import {
  axisLayout,
  elementCount,
  emitInto,
  extract,
  float32,
  isUsed,
  Miss,
  nodeText,
  PithError,
  partsOf,
  replaceUses,
  subgraphs,
  throwIfAborted,
  toFloat64,
} from "#ir";
import { type Change, definePass, noOptions } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import { entryOf } from "../../core/ops/index.ts";
import { cleanUpChange, dropDeadChannelsDescription } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";

/** Lists constant channels that must stay as misses. */
export const dropDeadChannels = definePass({
  ...dropDeadChannelsDescription,
  options: noOptions,
  async run(model, _, { engine, signal }) {
    const changes: Change[] = [];
    const misses: Miss[] = [];
    const visitedNames = new Set<string>();
    // Removing channels changes the units of other groups, and a shift changes their constants.
    for (let hasChanged = true; hasChanged; ) {
      hasChanged = false;
      const inference = infer(model);
      const isProtected = protectedValues(model, inference);
      for (const group of channelGroups(model, inference)) {
        const name = group.layers.map((layer) => layer.name).join(", ");
        if (visitedNames.has(name)) continue;
        throwIfAborted(signal);
        visitedNames.add(name);
        if (group.slices.some(({ value }) => value.role !== undefined || isProtected(value))) continue;
        const units = await findDeadUnits(group);
        if (units.length === 0) continue;
        const count = await removeUnits(model, inference, group, units, engine);
        if (count instanceof Miss) misses.push(new Miss(count.reason, count.at === "" ? name : count.at));
        else {
          const text = `${count} constant ${count === 1 ? "channel" : "channels"} cut`;
          changes.push(cleanUpChange(name, text, "constant channels removed"));
          hasChanged = true;
          break;
        }
      }
    }
    return { changes, misses };
  },
});

/** Returns the layers without those that pass on the channels of their input without a sum over them, such as a depthwise convolution. */
function producingLayers({ layers, slices }: Group): readonly Layer[] {
  const axes = new Map<Value, Set<number>>();
  for (const { value, axis } of slices) axes.set(value, (axes.get(value) ?? new Set()).add(axis));
  return layers.filter(({ effective, role, node }) => {
    const data = node.inputs[role.data];
    return data === undefined || !axes.has(data) || axes.get(effective)?.has(role.in) === true;
  });
}

async function findDeadUnits(group: Group): Promise<readonly number[]> {
  const dead = new Set(freeUnits(group));
  for (const layer of producingLayers(group)) {
    const { weight, effective, role } = layer;
    const slice = outputSliceOf(group, layer);
    const isBasic = role.kind === undefined && role.outTaps === undefined && weight === effective;
    if (!isBasic || slice === undefined || checkWeight(layer, { types: ["float32"], product: "alone" }) !== undefined)
      return [];
    if (dead.size === 0 || weight.tensor === undefined) return [];
    await excludeNonzeroUnits(dead, weight.tensor, axisLayout(weight.tensor.dims, role.out), slice.unitOf);
  }
  for (const { unitOf } of group.slices) if (unitOf.every((unit) => dead.has(unit))) dead.delete(unitOf[0] ?? -1);
  return [...dead];
}

/** Removes from `units` those with a nonzero element. Usually the first elements exclude all units, and the rest is not read. */
async function excludeNonzeroUnits(
  units: Set<number>,
  tensor: Tensor,
  { count, inner }: AxisLayout,
  unitOf: Int32Array,
): Promise<void> {
  for await (const { start, numbers } of partsOf(tensor)) {
    for (let index = 0; index < numbers.length; ) {
      const runIndex = Math.floor((start + index) / inner);
      const end = Math.min(numbers.length, (runIndex + 1) * inner - start);
      const unit = unitOf[runIndex % count] ?? -1;
      if (units.has(unit) && numbers.subarray(index, end).some((number) => number !== 0)) units.delete(unit);
      index = end;
    }
    if (units.size === 0) return;
  }
}

async function removeUnits(
  model: Model,
  inference: Inference,
  group: Group,
  units: readonly number[],
  engine: Engine,
): Promise<number | Miss> {
  const part = boundaryOf(model, inference, group);
  if (part instanceof Miss) return part;
  const constants = await constantsOf(model, part, engine);
  if (constants instanceof Miss) return constants;
  const dead = new Set(units);
  const visitElements = (
    value: Value,
    dense: Dense,
    visit: (number: number, unit: number, at: number) => void,
  ): void => {
    const numbers = toFloat64(dense);
    for (const { value: other, axis, unitOf } of group.slices) {
      if (other !== value) continue;
      const { count, inner } = axisLayout(dense.dims, axis);
      for (const [index, number] of numbers.entries())
        visit(number, unitOf[Math.floor(index / inner) % count] ?? -1, index);
    }
  };
  const deadConstants = (value: Value, dense: Dense): Float64Array => {
    const constants = new Float64Array(elementCount(dense.dims));
    visitElements(value, dense, (number, unit, index) => {
      if (dead.has(unit)) constants[index] = number;
    });
    return constants;
  };
  const zeroUnits = new Set(units);
  for (const [value, dense] of constants)
    visitElements(value, dense, (number, unit) => {
      if (number !== 0) zeroUnits.delete(unit);
    });
  const shifts: Shift[] = [];
  let refusal: Miss | undefined;
  for (const { node, data, isProducer } of zeroUnits.size === dead.size ? [] : part.readers) {
    const dense = constants.get(data);
    if (dense === undefined) continue;
    const shift = await shiftOf(model, inference, node, data, dense.dims, deadConstants(data, dense), engine);
    if (shift instanceof Miss) refusal = shift;
    else if (shift !== undefined && isProducer)
      refusal = new Miss("they are constant, not 0, and the layer that reads them also produces them", nodeText(node));
    else if (shift !== undefined) shifts.push(shift);
    if (refusal !== undefined) break;
  }
  const removedUnits = refusal === undefined ? dead : zeroUnits;
  if (removedUnits.size === 0) return refusal ?? new Miss("nothing is left to remove");
  const newInference = await removeChannels(model, [{ group, units: removedUnits }]);
  if (newInference instanceof Miss) return newInference;
  for (const shift of refusal === undefined ? shifts : []) await addShift(model, newInference, shift);
  return removedUnits.size;
}

interface Reader {
  readonly node: Node;
  readonly data: Value;
  /** Whether the node is also a layer whose output channels are units of the group. */
  readonly isProducer: boolean;
}

interface GroupBoundary {
  readonly inputs: readonly Value[];
  readonly readers: readonly Reader[];
}

function boundaryOf(model: Model, inference: Inference, group: Group): GroupBoundary | Miss {
  const channelValues = new Set(group.slices.map(({ value }) => value).filter(({ tensor }) => tensor === undefined));
  const isStored = (value: Value): boolean => inference.operand(value)?.stored === true;
  const layers = producingLayers(group);
  const producerNodes = new Set(layers.map(({ node }) => node));
  const readers: Reader[] = [];
  const inputs = new Set<Value>();
  const isRounded = createRoundingTest(model, inference);
  let isElementwise = true;
  for (const { node, role } of layers) {
    const data = node.inputs[role.data];
    if (data === undefined || node.inputs.some((input) => input !== undefined && input !== data && !isStored(input)))
      return new Miss("its weight or its bias is computed", nodeText(node));
    if (!channelValues.has(data)) inputs.add(data);
  }
  for (const node of model.graph.nodes()) {
    const data = node.inputs.find((input) => input !== undefined && channelValues.has(input) && !isStored(input));
    if (data === undefined) continue;
    const carries = node.outputs.some((output) => output !== undefined && channelValues.has(output));
    if (!carries || producerNodes.has(node)) {
      if (isRounded(node))
        return new Miss("its output is quantized later, and removal would change the rounding", nodeText(node));
      readers.push({ node, data, isProducer: producerNodes.has(node) });
      continue;
    }
    const other = node.inputs.find((input) => input !== undefined && !channelValues.has(input) && !isStored(input));
    if (other !== undefined || isRandom(node) || subgraphs(node).length > 0 || inference.at(node) instanceof Miss)
      return new Miss("it computes more than a constant from them", nodeText(node));
    isElementwise &&= entryOf(node)?.byElement === true || inference.facet(node, "affine") !== undefined;
  }
  const isWindow = (node: Node): boolean => {
    const layer = layerAt(node, inference);
    return !(layer instanceof Miss) && layer.role.window !== undefined;
  };
  const isAnySize = isElementwise && !readers.some(({ node }) => isWindow(node));
  for (const { type } of isAnySize ? [] : inputs) {
    // The first axis of the input of a convolution is the batch, whose size can be unknown.
    const hasUnknownSize = type?.dims?.some(
      (dim, axis) => typeof dim !== "number" && (axis > 0 || !layers.every(({ node }) => isWindow(node))),
    );
    if (hasUnknownSize !== false) return new Miss("sizes are not known: `simplify fix` sets them");
  }
  return { inputs: [...inputs], readers };
}

/** Used for unknown dimensions except the batch. */
const defaultSize = 16;

async function constantsOf(
  model: Model,
  { inputs, readers }: GroupBoundary,
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense> | Miss> {
  const values = [...new Set(readers.map(({ data }) => data))];
  const feeds = inputs.map(({ type }) => {
    const dims = (type?.dims ?? []).map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 ? 1 : defaultSize));
    return float32(dims, new Float32Array(elementCount(dims)));
  });
  const [results] = await runPart(model, values, inputs, [feeds], engine);
  return results === undefined
    ? new Miss("ONNX Runtime cannot compute their values")
    : new Map(
        values.flatMap((value, index) => (results[index] === undefined ? [] : [[value, results[index]] as const])),
      );
}

interface Shift {
  readonly node: Node;
  readonly vector: Dense<"float32">;
}

/** Returns the shift of a layer's output by constants in its input; undefined if all constants are 0. */
async function shiftOf(
  model: Model,
  inference: Inference,
  node: Node,
  data: Value,
  dims: readonly number[],
  constants: Float64Array,
  engine: Engine,
): Promise<Shift | Miss | undefined> {
  if (constants.every((number) => number === 0)) return undefined;
  const layer = layerAt(node, inference);
  const [output] = node.outputs;
  const at = nodeText(node);
  if (
    layer instanceof Miss ||
    output === undefined ||
    node.inputs[layer.role.data] !== data ||
    layer.role.outTaps !== undefined
  )
    return new Miss("they are constant, not 0, and no layer reads them", at);
  const refusal = checkProduct(layer);
  if (refusal !== undefined) return new Miss(refusal.reason, at);
  if (node.inputs.some((input) => input !== undefined && input !== data && inference.operand(input)?.stored !== true))
    return new Miss("its weight or its bias is computed", at);
  const feeds = [constants, new Float64Array(constants.length)].map((numbers) => [float32(dims, numbers)]);
  const [[withConstants] = [], [withZeros] = []] = await runPart(model, [output], [data], feeds, engine);
  if (withConstants === undefined || withZeros === undefined)
    return new Miss("ONNX Runtime cannot compute their values", at);
  const [shiftedNumbers, baseNumbers] = [toFloat64(withConstants), toFloat64(withZeros)];
  const rank = withConstants.dims.length;
  const axis = layer.role.outputAxis < 0 ? layer.role.outputAxis + rank : layer.role.outputAxis;
  const { count, inner } = axisLayout(withConstants.dims, axis);
  const vector = new Float64Array(count);
  const largest = shiftedNumbers.reduce(
    (magnitude, number, index) => Math.max(magnitude, Math.abs(number), Math.abs(baseNumbers[index] ?? 0)),
    0,
  );
  for (const [index, number] of shiftedNumbers.entries()) {
    const channel = Math.floor(index / inner) % count;
    const shift = number - (baseNumbers[index] ?? 0);
    if (index % (count * inner) === channel * inner && index < count * inner) vector[channel] = shift;
    // The comparison is negated so that NaN is rejected.
    if (!(Math.abs(shift - (vector[channel] ?? 0)) <= 1e-6 * largest))
      return new Miss(
        "they are constant, not 0, but zero padding or an earlier layer makes the sum vary by position",
        at,
      );
  }
  return { node, vector: float32([count, ...new Array<number>(rank - 1 - axis).fill(1)], vector) };
}

/** Returns an empty list if the runtime cannot run the part. */
async function runPart(
  model: Model,
  outputs: readonly Value[],
  inputs: readonly Value[],
  feeds: readonly (readonly Dense[])[],
  engine: Engine,
): Promise<readonly (readonly (Dense | undefined)[])[]> {
  const part = extract(model, outputs, inputs);
  try {
    const session = await engine.load(part, { optimize: false });
    try {
      const results: (readonly (Dense | undefined)[])[] = [];
      for (const tensors of feeds) {
        const namedFeeds = tensors.map((dense, index) => [part.graph.inputs[index]?.name ?? "", dense] as const);
        const outputTensors = await session.run(Object.fromEntries(namedFeeds));
        results.push(part.graph.outputs.map(({ name }) => outputTensors[name]));
      }
      return results;
    } finally {
      await session.release();
    }
  } catch (error) {
    if (error instanceof PithError && (error.code === "E_ENGINE" || error.code === "E_UNSUPPORTED")) return [];
    throw error;
  }
}

/** Adds the shift to a following bias sum, or as a new sum that `fuseAffine` folds into a bias. */
async function addShift(model: Model, inference: Inference, { node, vector }: Shift): Promise<void> {
  const layer = layerAt(node, inference);
  const sum = layer instanceof Miss ? undefined : biasedOutput(layer, inference)?.bias;
  const oldVector = await sum?.vector.tensor?.read();
  if (sum !== undefined && oldVector?.type === "float32" && sum.vector.role === undefined) {
    const sums = oldVector.data.map((number, index) => number + (vector.data[index] ?? 0));
    const emit = emitInto(model, { before: sum.node });
    model.graph.setInput(sum.node, sum.input, emit.constant(float32(oldVector.dims, sums), sum.vector.name));
    if (!isUsed(sum.vector)) model.graph.removeValue(sum.vector);
    return;
  }
  const [output] = node.outputs;
  if (output === undefined) return;
  const nodes = [...model.graph.nodes()];
  const emit = emitInto(model, { before: nodes[nodes.indexOf(node) + 1], by: "drop-dead-channels" });
  const result = emit.Add([output, emit.constant(vector, `${output.name}.shift`)]);
  result.type = output.type;
  replaceUses(output, result, result.producer);
}
