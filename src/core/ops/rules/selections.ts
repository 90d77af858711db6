/** Rules that merge two selections of elements: Slice, Gather, Shape, and pieces of a sequence. */
import { type Dim, type Node, sliceRange, type Use, type Value } from "#graph";
import type { Site } from "../define.ts";
import { constantIntegersOf, readInteger, wrapAxis } from "../shared/attributes.ts";
import { countFromFront, readPieces, readPosition, splitPieces } from "../shared/sequences.ts";
import { integersConstant } from "../shared/shapes.ts";
import { axesOf } from "./layout.ts";
import { emitNamed, type PairRule, type PairScope } from "./rule.ts";

export interface Bounds {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

function boundsOf(site: Site): Bounds | undefined {
  const rank = site.inputs[0]?.dims?.length;
  const [starts, ends] = [constantIntegersOf(site.inputs[1]), constantIntegersOf(site.inputs[2])];
  if (rank === undefined || site.version < 10 || starts === undefined || ends === undefined) return undefined;
  const axes = site.inputs[3] === undefined ? starts.map((_, axis) => axis) : constantIntegersOf(site.inputs[3]);
  const steps = site.inputs[4] === undefined ? starts.map(() => 1) : constantIntegersOf(site.inputs[4]);
  if (axes === undefined || steps === undefined || steps.includes(0)) return undefined;
  return { starts, ends, axes: axes.map((axis) => wrapAxis(axis, rank)), steps };
}

/** Returns the `end` of a Slice that selects these elements: -size - 1 if negative steps reach element 0. */
function endOf(
  { first, step, count }: ReturnType<typeof sliceRange> & { readonly step: number },
  size: number,
): number {
  const last = first + (count - 1) * step;
  if (step > 0) return last + 1;
  return last === 0 ? -size - 1 : last - 1;
}

/** Merges the bounds of two consecutive slices; undefined if an axis that both slice has an unknown length, or if no element remains. */
function mergeBounds(a: Bounds, b: Bounds, dims: readonly Dim[]): Bounds | undefined {
  const entryByAxis = new Map(a.axes.map((axis, index) => [axis, entryOf(a, index)]));
  for (const [index, axis] of b.axes.entries()) {
    const [inner, outer] = [entryByAxis.get(axis), entryOf(b, index)];
    if (inner === undefined) {
      entryByAxis.set(axis, outer);
      continue;
    }
    const size = dims[axis];
    if (typeof size !== "number") return undefined;
    const { first, count } = sliceRange(size, inner.start, inner.end, inner.step);
    const second = sliceRange(count, outer.start, outer.end, outer.step);
    if (second.count === 0) return undefined;
    const run = { ...second, first: first + second.first * inner.step, step: inner.step * outer.step };
    entryByAxis.set(axis, { start: run.first, step: run.step, end: endOf(run, size) });
  }
  const list = (key: "start" | "end" | "step"): readonly number[] =>
    [...entryByAxis.values()].map((entry) => entry[key]);
  return { starts: list("start"), ends: list("end"), steps: list("step"), axes: [...entryByAxis.keys()] };
}

const entryOf = ({ starts, ends, steps }: Bounds, index: number) => ({
  start: starts[index] ?? 0,
  end: ends[index] ?? 0,
  step: steps[index] ?? 1,
});

function mergeReader(scope: PairScope, innerBounds: Bounds, reader: Node): Bounds | undefined {
  const dims = scope.firstSite.inputs[0]?.dims;
  const outer = reader.op === "Slice" && reader.domain === "" ? boundsOf(scope.site(reader)) : undefined;
  return dims && outer && mergeBounds(innerBounds, outer, dims);
}

/** The readers of the first slice must be slices, so that it can be removed. */
const slices: PairRule = {
  id: "slices",
  description: "two slices are one",
  first: ["Slice"],
  second: ["Slice"],
  fuse(scope) {
    const { first, second, firstSite, input, isOnlyReader, emit } = scope;
    const innerBounds = boundsOf(firstSite);
    const [sliceOutput] = first.outputs;
    if (innerBounds === undefined || sliceOutput === undefined || input !== 0) return undefined;
    const mergedBounds = mergeReader(scope, innerBounds, second);
    if (mergedBounds === undefined) return undefined;
    const canMerge = (use: Use): boolean => use.input === 0 && mergeReader(scope, innerBounds, use.node) !== undefined;
    const isReplaced =
      sliceOutput.uses.size <= maxReaders &&
      !sliceOutput.graph.isOutput(sliceOutput) &&
      [...sliceOutput.uses].every(canMerge);
    if (!isOnlyReader && !isReplaced) return undefined;
    const name = second.outputs[0]?.name ?? "slice";
    const list = (key: keyof Bounds): Value => integersConstant(emit, mergedBounds[key], `${name}_${key}`);
    return { inputs: [first.inputs[0], list("starts"), list("ends"), list("axes"), list("steps")] };
  },
};

const maxReaders = 16;

/** Shape selects a range since opset 15. */
const slicedShape: PairRule = {
  id: "sliced-shape",
  description: "Shape and Slice are merged",
  first: ["Shape"],
  second: ["Slice", "Gather"],
  fuse(scope) {
    const { first, second, firstSite, secondSite, input } = scope;
    const [x] = first.inputs;
    const rank = firstSite.inputs[0]?.dims?.length;
    if (x === undefined || rank === undefined || input !== 0 || firstSite.version < 15) return undefined;
    if (first.attributes.size > 0) return undefined;
    const interval = second.op === "Slice" ? slicedInterval(secondSite, rank) : gatheredInterval(secondSite, rank);
    return interval && { value: emitNamed(scope).Shape([x], interval) };
  },
};

interface Interval {
  readonly start: number;
  readonly end: number;
}

function slicedInterval(site: Site, rank: number): Interval | undefined {
  const { starts = [], ends = [], steps = [] } = boundsOf(site) ?? {};
  if (starts.length !== 1 || steps[0] !== 1) return undefined;
  const clamp = (bound = 0): number => Math.min(rank, Math.max(0, bound < 0 ? bound + rank : bound));
  return { start: clamp(starts[0]), end: clamp(ends[0]) };
}

function gatheredInterval(site: Site, rank: number): Interval | undefined {
  const picks = constantIntegersOf(site.inputs[1]);
  if (picks === undefined || picks.length === 0 || site.inputs[1]?.dims?.length !== 1) return undefined;
  const [start = 0, ...laterPicks] = picks.map((pick) => (pick < 0 ? pick + rank : pick));
  return laterPicks.every((pick, index) => pick === start + 1 + index)
    ? { start, end: start + picks.length }
    : undefined;
}

const gatheredAxis: PairRule = {
  id: "gathered-axis",
  description: "one index is picked with its axis",
  first: ["Gather"],
  second: ["Unsqueeze"],
  fuse(scope) {
    const { first, firstSite, secondSite, isOnlyReader } = scope;
    const [x] = first.inputs;
    const rank = firstSite.inputs[0]?.dims?.length;
    const picks = constantIntegersOf(firstSite.inputs[1]);
    if (!isOnlyReader || x === undefined || rank === undefined || picks?.length !== 1) return undefined;
    if (firstSite.inputs[1]?.dims?.length !== 0) return undefined;
    const axis = wrapAxis(readInteger(firstSite, "axis", 0), rank);
    if (axesOf(secondSite, rank)?.join() !== String(axis)) return undefined;
    return { value: emitNamed(scope).Gather([x, picks], { axis }) };
  },
};

/** Replaces SequenceAt of a split tensor (torch.chunk, torch.split) by an output of Split. */
const sequencePiece: PairRule = {
  id: "piece-of-sequence",
  description: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse(scope) {
    const { first, firstSite, secondSite, input } = scope;
    const [x] = first.inputs;
    const { position } = readPosition(secondSite);
    const settings = readPieces(firstSite);
    // Split has its sizes as an input since opset 13.
    if (x === undefined || input !== 0 || position === undefined || secondSite.version < 13) return undefined;
    const index = countFromFront(position, settings.sizes?.length ?? 0);
    if (settings.sizes?.[index] === undefined) return undefined;
    const value = splitPieces(emitNamed(scope), x, settings)?.[index];
    return value && { value };
  },
};

export const selectionPairs: readonly PairRule[] = [slices, slicedShape, gatheredAxis, sequencePiece];
