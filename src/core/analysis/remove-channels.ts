/** Removes channels: rewrites tensors, attributes and constants that depend on the size of an affected axis. */
import type { Dense, Dim, Model, Node, Tensor, Value } from "#graph";
import {
  deferTensor,
  dimsText,
  emitInto,
  inMemory,
  Miss,
  nodeText,
  runAndUndo,
  sameDims,
  snapshot,
  takeIndices,
} from "#graph";
import type { AxisEnd, ChannelRemoval, NodeChange, RemainingPart } from "../ops/entry.ts";
import { listFor } from "../ops/shared/shapes.ts";
import { valueAt } from "./channel-links.ts";
import type { Group } from "./channels.ts";
import { type Inference, infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { recordChannels } from "./provenance.ts";

/** Units of a group to remove. */
export interface Removal {
  readonly group: Pick<Group, "units" | "slices">;
  readonly units: Iterable<number>;
}

/** The removed indices along each axis of each value. */
type Removals = ReadonlyMap<Value, ReadonlyMap<number, readonly number[]>>;

/** Removes channels in place. Returns the new inference, or a Miss if the result would not be a valid graph; the model is then unchanged. */
export async function removeChannels(model: Model, removals: readonly Removal[]): Promise<Inference | Miss> {
  const plan = planOf(model, removedIndices(removals));
  if (plan instanceof Miss) return plan;
  const tensors = new Map<TensorRewrite, Tensor>();
  for (const rewrite of rewritesOf(plan)) tensors.set(rewrite, await deferRewrite(rewrite));
  const channelsByLayer = keptChannels(model, plan.removed);
  const restore = snapshot(model);
  const inference = applyPlan(model, plan, (rewrite) => tensors.get(rewrite) ?? rewrite.tensor);
  if (inference instanceof Miss) restore();
  else recordChannels(model, channelsByLayer);
  return inference;
}

function keptChannels(model: Model, removals: Removals): ReadonlyMap<string, readonly number[]> {
  const cutLayers = layers(model, infer(model)).flatMap(({ name, effective, role, outputs }) => {
    const indices = new Set(removals.get(effective)?.get(role.out));
    const size = effective.type?.dims?.[role.out];
    // Packed values share bytes, so one index can hold several channels.
    const channelsPerIndex = typeof size === "number" && role.packed !== undefined ? outputs / size : 1;
    const keptIndices = Array.from({ length: outputs }, (_, channel) => channel).filter(
      (channel) => !indices.has(Math.floor(channel / channelsPerIndex)),
    );
    return indices.size === 0 ? [] : [[name, keptIndices] as const];
  });
  return new Map(cutLayers);
}

/** Returns why units cannot be removed. Does not read weights or change the model. */
export function whyNotRemovable(model: Model, removals: readonly Removal[]): Miss | undefined {
  const plan = planOf(model, removedIndices(removals));
  const outcome = plan instanceof Miss ? plan : runAndUndo(model, () => applyPlan(model, plan, resizeUnread));
  return outcome instanceof Miss ? outcome : undefined;
}

interface TensorRewrite extends RemainingPart {
  readonly tensor: Tensor;
}

interface RemovalPlan {
  readonly removed: Removals;
  readonly slices: ReadonlyMap<Value, TensorRewrite>;
  readonly changes: ReadonlyMap<Node, NodeChange & { readonly rewrites: ReadonlyMap<number, TensorRewrite> }>;
}

function planOf(model: Model, removed: Removals): RemovalPlan | Miss {
  const slices = new Map<Value, TensorRewrite>();
  for (const [value, axes] of removed) {
    const { tensor } = value;
    if (tensor === undefined) continue;
    const dims = tensor.dims.map((size, axis) => size - (axes.get(axis)?.length ?? 0));
    slices.set(value, { tensor, dims, of: (dense) => sliceAxes(dense, axes) });
  }
  const changes = new Map<Node, NodeChange & { rewrites: Map<number, TensorRewrite> }>();
  for (const [node, change] of nodeChanges(model, infer(model), removed)) {
    const rewrites = new Map<number, TensorRewrite>();
    for (const [input, restored] of Object.entries(change.packed ?? {})) {
      const value = node.inputs[Number(input)];
      if (value === undefined) continue;
      if (value.tensor === undefined) return new Miss(`"${value.name}" is computed`, nodeText(node));
      rewrites.set(Number(input), { tensor: value.tensor, ...restored });
    }
    changes.set(node, { ...change, rewrites });
  }
  return { removed, slices, changes };
}

function* rewritesOf({ slices, changes }: RemovalPlan): Generator<TensorRewrite, void, undefined> {
  yield* slices.values();
  for (const { rewrites } of changes.values()) yield* rewrites.values();
}

function removedIndices(removals: readonly Removal[]): Removals {
  const indicesByValue = new Map<Value, Map<number, readonly number[]>>();
  for (const { group, units } of removals) {
    const isRemoved = new Uint8Array(group.units);
    for (const unit of units) isRemoved[unit] = 1;
    // Slices along tied axes share one `unitOf` array.
    const indicesByUnits = new Map<Int32Array, readonly number[]>();
    for (const { value, axis, unitOf } of group.slices) {
      const indices = indicesByUnits.get(unitOf) ?? indicesOf(unitOf, isRemoved);
      indicesByUnits.set(unitOf, indices);
      if (indices.length === 0) continue;
      const axes = indicesByValue.get(value) ?? new Map<number, readonly number[]>();
      const earlierIndices = axes.get(axis);
      indicesByValue.set(
        value,
        axes.set(axis, earlierIndices === undefined ? indices : [...earlierIndices, ...indices].sort((a, b) => a - b)),
      );
    }
  }
  return indicesByValue;
}

function indicesOf(unitOf: Int32Array, isRemoved: Uint8Array): readonly number[] {
  const indices: number[] = [];
  for (let index = 0; index < unitOf.length; index++) if (isRemoved[unitOf[index] ?? -1] === 1) indices.push(index);
  return indices;
}

function nodeChanges(model: Model, inference: Inference, removals: Removals): ReadonlyMap<Node, NodeChange> {
  const changes = new Map<Node, NodeChange>();
  for (const node of model.graph.nodes()) {
    if (![...node.inputs, ...node.outputs].some((value) => value !== undefined && removals.has(value))) continue;
    const rule = inference.facet(node, "axes");
    if (rule?.resize !== undefined) changes.set(node, rule.resize(channelCut(node, removals)));
  }
  return changes;
}

function channelCut(node: Node, removals: Removals): ChannelRemoval {
  const indicesAlong = ([port, axis]: AxisEnd): readonly number[] => {
    const value = valueAt(node, port);
    return (value === undefined ? undefined : removals.get(value)?.get(axis)) ?? [];
  };
  const dims = (port: AxisEnd[0]): readonly Dim[] => {
    const value = valueAt(node, port);
    const before = value?.tensor?.dims ?? value?.type?.dims ?? [];
    return before.map((dim, axis) => (typeof dim === "number" ? dim - indicesAlong([port, axis]).length : dim));
  };
  return { removed: indicesAlong, dims };
}

/** Applies a plan in place. Returns a Miss if inference of the changed model fails, or finds other dimensions. */
function applyPlan(
  model: Model,
  { removed, slices, changes }: RemovalPlan,
  tensorOf: (rewrite: TensorRewrite) => Tensor,
): Inference | Miss {
  const before = infer(model);
  const expectedDims: [Value, readonly Dim[]][] = [];
  for (const [value, axes] of removed) {
    const type = value.type ?? value.tensor;
    const newDims = type?.dims?.map((dim, axis) =>
      typeof dim === "number" ? dim - (axes.get(axis)?.length ?? 0) : dim,
    );
    value.type = type && { type: type.type, dims: newDims };
    const slice = slices.get(value);
    if (slice !== undefined) value.tensor = tensorOf(slice);
    else if (value.type?.dims !== undefined) expectedDims.push([value, value.type.dims]);
  }
  for (const [node, change] of changes) {
    applyChange(model, node, change);
    for (const [input, rewrite] of change.rewrites) setStored(node, input, tensorOf(rewrite));
  }
  const previousMisses = new Set(before.misses.map(missText));
  const inference = infer(model);
  const newMiss = inference.misses.find((miss) => !previousMisses.has(missText(miss)));
  if (newMiss !== undefined) return newMiss;
  for (const [value, dims] of expectedDims) {
    const inferredDims = value.type?.dims;
    if (inferredDims !== undefined && sameDims(inferredDims, dims)) continue;
    const location = value.producer === undefined ? value.name : nodeText(value.producer);
    return new Miss(`its output would be ${dimsText(inferredDims)} where ${dimsText(dims)} is needed`, location);
  }
  return inference;
}

const missText = ({ reason, at }: Miss): string => `${at}: ${reason}`;

/** Returns a tensor with the new dimensions to test a plan, without reading a large tensor. */
function resizeUnread({ tensor, dims, of }: TensorRewrite): Tensor {
  if (tensor.small !== undefined) return inMemory(of(tensor.small));
  return { type: tensor.type, dims, bytes: 0, small: undefined, stored: undefined, read: () => tensor.read() };
}

async function deferRewrite({ tensor, dims, of }: TensorRewrite): Promise<Tensor> {
  const rewrite = async (): Promise<Dense> => of(await tensor.read());
  return tensor.type === "string" ? inMemory(await rewrite()) : deferTensor(tensor.type, dims, rewrite);
}

function sliceAxes(dense: Dense, axes: ReadonlyMap<number, readonly number[]>): Dense {
  let result = dense;
  // Outer axes come first, because their slices are contiguous.
  for (const [axis, indices] of [...axes].sort(([a], [b]) => a - b)) {
    const excludedIndices = new Set(indices);
    const keptIndices = Array.from({ length: dense.dims[axis] ?? 0 }, (_, index) => index).filter(
      (index) => !excludedIndices.has(index),
    );
    result = takeIndices(result, axis, keptIndices);
  }
  return result;
}

function applyChange(model: Model, node: Node, { attributes = {}, inputs = {}, shifts = {} }: NodeChange): void {
  const { graph } = node;
  for (const [name, attribute] of Object.entries(attributes)) graph.setAttribute(node, name, attribute);
  for (const [input, numbers] of Object.entries(inputs))
    setStored(node, Number(input), inMemory(listFor(node, Number(input), numbers)));
  for (const [input, offsets] of Object.entries(shifts)) {
    const before = node.inputs[Number(input)];
    if (before === undefined) continue;
    const emit = emitInto(model, { before: node });
    graph.setInput(
      node,
      Number(input),
      emit.Add([before, emit.constant(listFor(node, Number(input), offsets), `${before.name}_cut`)]),
    );
  }
}

function setStored(node: Node, input: number, tensor: Tensor): void {
  const { graph } = node;
  const before = node.inputs[input];
  if (before?.tensor !== undefined && before.uses.size === 1 && before.graph === graph) {
    before.tensor = tensor;
    before.type = { type: tensor.type, dims: tensor.dims };
  } else graph.setInput(node, input, graph.addTensor(before?.name ?? "sizes", tensor, before?.role));
}
