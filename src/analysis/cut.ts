/**
 * Cutting channels: every stored tensor, attribute and constant that repeats the size of a cut axis is rewritten, so that what is left is a
 * smaller model of the same kind.
 *
 * The cut is tried first on a copy of the graph that has no numbers in it: if its inferred dimensions are not what the cut promises, nothing
 * has happened yet.
 */
import { Miss } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { snapshot, tentatively } from "../graph/snapshot.ts";
import type { AxisEnd, ChannelCut, NodeChange } from "../ops/index.ts";
import { deferred } from "../tensor/deferred.ts";
import { inMemory } from "../tensor/dense.ts";
import { type Dim, dimsText, sameDims } from "../tensor/dims.ts";
import { takeIndices } from "../tensor/take.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { valueAt } from "./channel-links.ts";
import type { Group } from "./channels.ts";
import { type Inference, infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { recordKept } from "./provenance.ts";

/** Units of a group that are to go. Groups must come from one call of `channelGroups`. */
export interface Removal {
  readonly group: Group;
  readonly units: Iterable<number>;
}

/** Which indices of which axes go: sorted, without repetition. */
type Removals = ReadonlyMap<Value, ReadonlyMap<number, readonly number[]>>;

/**
 * Cuts channels out of the model, in place: slices weights, biases, statistics, masks and constants, and rewrites what repeats sizes.
 * @returns What is known of the new model; a Miss if cutting would contradict the graph somewhere: then nothing was changed.
 * @example
 * const [group] = channelGroups(model, infer(model));
 * if (group !== undefined) await cut(model, [{ group, units: [0, 3] }]);
 */
export async function cut(model: Model, removals: readonly Removal[]): Promise<Inference | Miss> {
  const removed = removedIndices(removals);
  const tensors = new Map<Value, Tensor>();
  for (const [value, axes] of removed) {
    if (value.tensor !== undefined) tensors.set(value, await slicedWhenRead(value.tensor, axes));
  }
  const left = keptOf(model, removed);
  const restore = snapshot(model);
  const inference = carryOut(model, removed, (value) => tensors.get(value));
  if (inference instanceof Miss) restore();
  else recordKept(model, left);
  return inference;
}

function keptOf(model: Model, removed: Removals): ReadonlyMap<string, readonly number[]> {
  const cutLayers = layers(model, infer(model)).flatMap(({ name, effective, role, outputs }) => {
    const gone = new Set(removed.get(effective)?.get(role.out));
    const kept = Array.from({ length: outputs }, (_, channel) => channel).filter((channel) => !gone.has(channel));
    return gone.size === 0 ? [] : [[name, kept] as const];
  });
  return new Map(cutLayers);
}

/** Why these units cannot be cut, if they cannot. Reads no weights; the model is as it was. */
export function refusesCut(model: Model, removals: readonly Removal[]): Miss | undefined {
  const found = tentatively(model, () =>
    carryOut(model, removedIndices(removals), ({ tensor }, axes) =>
      tensor === undefined ? undefined : withoutNumbers(tensor, axes),
    ),
  );
  return found instanceof Miss ? found : undefined;
}

function removedIndices(removals: readonly Removal[]): Removals {
  const sets = new Map<Value, Map<number, Set<number>>>();
  for (const { group, units } of removals) {
    const gone = new Set(units);
    for (const { value, axis, unitOf } of group.slices) {
      const axes = sets.get(value) ?? new Map<number, Set<number>>();
      sets.set(value, axes);
      const indices = axes.get(axis) ?? new Set<number>();
      axes.set(axis, indices);
      unitOf.forEach((unit, index) => {
        if (gone.has(unit)) indices.add(index);
      });
    }
  }
  const removed = new Map<Value, ReadonlyMap<number, readonly number[]>>();
  for (const [value, axes] of sets) {
    const kept = [...axes].flatMap(([axis, set]) =>
      set.size === 0 ? [] : [[axis, [...set].sort((a, b) => a - b)] as const],
    );
    if (kept.length > 0) removed.set(value, new Map(kept));
  }
  return removed;
}

function nodeChanges(model: Model, inference: Inference, removed: Removals): ReadonlyMap<Node, NodeChange> {
  const changes = new Map<Node, NodeChange>();
  for (const node of model.graph.nodes()) {
    if (![...node.inputs, ...node.outputs].some((value) => value !== undefined && removed.has(value))) continue;
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.axes();
    if (rule instanceof Miss || rule.resize === undefined) continue;
    changes.set(node, rule.resize(cutAt(node, removed)));
  }
  return changes;
}

function cutAt(node: Node, removed: Removals): ChannelCut {
  const removedAt = ([port, axis]: AxisEnd): readonly number[] => {
    const value = valueAt(node, port);
    return (value === undefined ? undefined : removed.get(value)?.get(axis)) ?? [];
  };
  const dims = (port: AxisEnd[0]): readonly Dim[] => {
    const value = valueAt(node, port);
    const before = value?.tensor?.dims ?? value?.type?.dims ?? [];
    return before.map((dim, axis) => (typeof dim === "number" ? dim - removedAt([port, axis]).length : dim));
  };
  return { removed: removedAt, dims };
}

/** Cuts in place. Returns a Miss if inference fails that succeeded before, or finds another dimension than the cut implies. */
function carryOut(
  model: Model,
  removed: Removals,
  tensorOf: (value: Value, axes: ReadonlyMap<number, readonly number[]>) => Tensor | undefined,
): Inference | Miss {
  const before = infer(model);
  const changes = nodeChanges(model, before, removed);
  const promised: [Value, readonly Dim[]][] = [];
  for (const [value, axes] of removed) {
    value.type = cutType(value, axes);
    if (value.tensor !== undefined) value.tensor = tensorOf(value, axes);
    else if (value.type?.dims !== undefined) promised.push([value, value.type.dims]);
  }
  for (const [node, change] of changes) applyChange(model, node, change);
  const known = new Set(before.misses.map(missText));
  const inference = infer(model);
  const failed = inference.misses.find((miss) => !known.has(missText(miss)));
  if (failed !== undefined) return failed;
  for (const [value, dims] of promised) {
    const found = value.type?.dims;
    if (found !== undefined && sameDims(found, dims)) continue;
    const at = value.producer === undefined ? value.name : describe(value.producer);
    return new Miss(`its output would be ${dimsText(found)} where ${dimsText(dims)} is needed`, at);
  }
  return inference;
}

const missText = ({ reason, at }: Miss): string => `${at}: ${reason}`;

/** Dimensions as after the cut, without reading a large tensor. */
function withoutNumbers(tensor: Tensor, axes: ReadonlyMap<number, readonly number[]>): Tensor {
  if (tensor.small !== undefined) return inMemory(sliced(tensor.small, axes));
  return {
    type: tensor.type,
    dims: cutDims(tensor.dims, axes),
    bytes: 0,
    small: undefined,
    stored: undefined,
    read: () => tensor.read(),
  };
}

function cutType(value: Value, axes: ReadonlyMap<number, readonly number[]>): Value["type"] {
  const type = value.type ?? value.tensor;
  const dims = type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim - (axes.get(axis)?.length ?? 0) : dim));
  return type === undefined ? undefined : { type: type.type, dims };
}

async function slicedWhenRead(tensor: Tensor, axes: ReadonlyMap<number, readonly number[]>): Promise<Tensor> {
  const slice = async (): Promise<Dense> => sliced(await tensor.read(), axes);
  return tensor.type === "string" ? inMemory(await slice()) : deferred(tensor.type, cutDims(tensor.dims, axes), slice);
}

function cutDims(dims: readonly number[], axes: ReadonlyMap<number, readonly number[]>): number[] {
  return dims.map((dim, axis) => dim - (axes.get(axis)?.length ?? 0));
}

function sliced(dense: Dense, axes: ReadonlyMap<number, readonly number[]>): Dense {
  let result = dense;
  for (const [axis, gone] of axes) {
    const out = new Set(gone);
    const kept = Array.from({ length: dense.dims[axis] ?? 0 }, (_, index) => index).filter((index) => !out.has(index));
    result = takeIndices(result, axis, kept);
  }
  return result;
}

function applyChange(model: Model, node: Node, { attributes = {}, inputs = {}, shifts = {} }: NodeChange): void {
  const { graph } = node;
  for (const [name, attribute] of Object.entries(attributes)) graph.setAttribute(node, name, attribute);
  for (const [input, dense] of Object.entries(inputs)) {
    const before = node.inputs[Number(input)];
    if (before?.tensor !== undefined && before.uses.size === 1 && before.graph === graph) {
      before.tensor = inMemory(dense);
      before.type = { type: dense.type, dims: dense.dims };
    } else {
      graph.setInput(node, Number(input), graph.addTensor(before?.name ?? "sizes", inMemory(dense), before?.role));
    }
  }
  for (const [input, dense] of Object.entries(shifts)) {
    const before = node.inputs[Number(input)];
    if (before === undefined) continue;
    const emit = emitInto(model, { before: node });
    graph.setInput(node, Number(input), emit.Add([before, emit.constant(dense, `${before.name}_cut`)]));
  }
}
