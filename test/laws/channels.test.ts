/**
 * Law: the indices that `axes` links can be removed together. After they are removed from every linked operand, and `resize` has rewritten
 * attributes and constants, a node returns
 * - its original outputs without these indices, if its outputs lose them (with zeros if it reads its own outputs, as recurrent layers do);
 * - its outputs for zeros at these indices, if it sums over them (`absorbs`, and the shared axis of a product).
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Session } from "../../src/core/engine/engine.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Node, Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import type { Op } from "../../src/core/ops/define.ts";
import type { AxisEnd, AxisLink, AxisRule, ChannelRemoval } from "../../src/core/ops/entry.ts";
import { entryOf, operators } from "../../src/core/ops/index.ts";
import { listFor } from "../../src/core/ops/shared/shapes.ts";
import { stridesOf } from "../../src/core/tensor/axis-layout.ts";
import { fromNumbers, toNumbers } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../core/ops/define.examples.ts";
import {
  difference,
  examplesFor,
  feedsOf,
  fixedModel,
  lastNode,
  numeric,
  operatorOf,
  run,
  withSession,
} from "./harness.ts";

type Removed = Map<Value, Map<number, Set<number>>>;
type Link = Extract<AxisLink, { from: AxisEnd }>;

const isLink = (link: AxisLink): link is Link => "from" in link;

function valueAt(node: Node, [port]: AxisEnd): Value | undefined {
  return port.startsWith("in") ? node.inputs[Number(port.slice(2))] : node.outputs[Number(port.slice(3))];
}

function sizeAt(node: Node, end: AxisEnd): number {
  const size = valueAt(node, end)?.type?.dims?.[end[1]];
  return typeof size === "number" ? size : 0;
}

/** Returns all indices that are removed together with some indices of an axis; undefined if a link refuses. */
function closure(node: Node, rule: AxisRule, end: AxisEnd, indices: readonly number[]): Removed | undefined {
  const removed: Removed = new Map();
  let changed = false;
  const at = (place: AxisEnd): ReadonlySet<number> => {
    const value = valueAt(node, place);
    return (value === undefined ? undefined : removed.get(value)?.get(place[1])) ?? new Set();
  };
  const remove = (place: AxisEnd, index: number): void => {
    const value = valueAt(node, place);
    if (value === undefined || at(place).has(index)) return;
    const axes = removed.get(value) ?? new Map<number, Set<number>>();
    removed.set(value, axes);
    const set = axes.get(place[1]) ?? new Set<number>();
    axes.set(place[1], set);
    set.add(index);
    changed = true;
  };
  for (const index of indices) remove(end, index);
  const links = rule.links.filter(isLink);
  while (changed) {
    changed = false;
    for (const { from, to, map = (index: number) => [index] } of links) {
      for (let index = 0; index < sizeAt(node, from); index++) {
        const image = map(index);
        if (at(from).has(index)) for (const place of image) remove(to, place);
        else if (image.every((place) => at(to).has(place))) remove(from, index);
      }
    }
  }
  const refused = rule.links.some((link) => "refuses" in link && at(link.refuses).size > 0);
  return refused ? undefined : removed;
}

/** Returns starting points of a removal: indices of each axis that a link starts from or absorbs, and indices that no link maps to (zeros of Pad). */
function starts(node: Node, rule: AxisRule): (readonly [AxisEnd, readonly number[]])[] {
  const ends = rule.links.flatMap((link): (readonly [AxisEnd, readonly number[]])[] => {
    if ("refuses" in link) return [];
    const end = "absorbs" in link ? link.absorbs : link.from;
    const size = sizeAt(node, end);
    const starting: (readonly [AxisEnd, readonly number[]])[] = [];
    if (size >= 2) starting.push([end, [0]], [end, [size - 1]]);
    if (size >= 3) starting.push([end, [0, 1]]);
    if ("absorbs" in link || link.map === undefined) return starting;
    const reached = new Set(Array.from({ length: size }, (_, index) => link.map?.(index) ?? []).flat());
    const rivalLinks = rule.links.filter(
      (other) => isLink(other) && other !== link && String(other.to) === String(link.to),
    );
    const alone = Array.from({ length: sizeAt(node, link.to) }, (_, index) => index).filter(
      (index) => !reached.has(index),
    );
    if (rivalLinks.length === 0 && alone.length > 0)
      starting.push([link.to, alone.slice(0, 1)], [link.to, alone.slice(-1)]);
    return starting;
  });
  return ends;
}

/**
 * Removes the entries at the given indices of axes, or sets them to zero.
 * @param zero returns the number that represents zero at a position; if absent, entries are removed.
 */
function without(
  dense: Dense,
  axes: ReadonlyMap<number, ReadonlySet<number>>,
  zero?: (position: number) => number,
): Dense {
  const numbers = toNumbers(dense);
  const strides = stridesOf(dense.dims);
  const isRemoved = (position: number): boolean =>
    [...axes].some(([axis, indices]) =>
      indices.has(Math.floor(position / (strides[axis] ?? 1)) % Math.max(1, dense.dims[axis] ?? 1)),
    );
  const type = numeric(dense.type);
  if (zero !== undefined)
    return fromNumbers(
      type,
      dense.dims,
      numbers.map((value, position) => (isRemoved(position) ? zero(position) : value)),
    );
  const dims = dense.dims.map((size, axis) => size - (axes.get(axis)?.size ?? 0));
  return fromNumbers(
    type,
    dims,
    numbers.filter((_, position) => !isRemoved(position)),
  );
}

interface Operands {
  readonly model: Model;
  readonly feeds: Batch;
}

interface Trial extends Operands {
  /** Runs the unchanged node on other inputs. */
  readonly session: Session;
  /** Outputs of the unchanged node. */
  readonly outputs: Batch;
}

/** Returns a copy of the model whose operands `change` has replaced. */
async function withOperands(
  { model, feeds }: Operands,
  removed: Removed,
  change: (dense: Dense, axes: ReadonlyMap<number, ReadonlySet<number>>, value: Value) => Dense,
): Promise<Operands> {
  const copy = model.clone();
  const changed: Record<string, Dense> = { ...feeds };
  for (const [value, axes] of removed) {
    const copied = copy.graph.value(value.name);
    const dense = feeds[value.name] ?? (await value.tensor?.read());
    if (copied === undefined || dense === undefined) continue;
    const result = change(dense, axes, value);
    copied.type = { type: result.type, dims: result.dims };
    if (copied.tensor === undefined) changed[value.name] = result;
    else copied.tensor = inMemory(result);
  }
  for (const output of copy.graph.outputs) output.type = undefined;
  return { model: copy, feeds: changed };
}

function channelCut(node: Node, removed: Removed): ChannelRemoval {
  const indicesAt = (end: AxisEnd): readonly number[] => {
    const value = valueAt(node, end);
    return [...((value === undefined ? undefined : removed.get(value)?.get(end[1])) ?? [])].sort((a, b) => a - b);
  };
  return {
    removed: indicesAt,
    dims: (port) =>
      (valueAt(node, [port, 0])?.type?.dims ?? []).map((dim, axis) =>
        typeof dim === "number" ? dim - indicesAt([port, axis]).length : dim,
      ),
  };
}

/** Returns the number that represents zero at a position: for quantized values the zero point, possibly per output channel. */
function zeroOf({ model, feeds }: Trial, node: Node, { name, type }: Value): (position: number) => number {
  const coded = entryOf(node)?.codes?.find(({ input }) => node.inputs[input]?.name === name);
  const point = coded && node.inputs[coded.zeroPoint];
  const dense = point && (feeds[point.name] ?? point.tensor?.small);
  const zeros = dense === undefined ? [0] : toNumbers(dense);
  if (zeros.length === 1) return () => zeros[0] ?? 0;
  const bound = infer(model).at(node);
  const [role] =
    bound instanceof Miss ? [] : [bound.weights()].flatMap((roles) => (roles instanceof Miss ? [] : roles));
  if (role === undefined) throw new Error(`the channels of ${name} are not known`);
  const stride = stridesOf((type?.dims ?? []).map(Number))[role.out] ?? 1;
  return (position) => zeros[Math.floor(position / stride) % zeros.length] ?? 0;
}

/** Returns the removed indices of axes that the node sums over. */
function absorbed(node: Node, rule: AxisRule, removed: Removed): Removed {
  const absorbedIndices: Removed = new Map();
  for (const link of rule.links) {
    const value = "absorbs" in link ? valueAt(node, link.absorbs) : undefined;
    const indices = "absorbs" in link && value !== undefined ? removed.get(value)?.get(link.absorbs[1]) : undefined;
    if (value !== undefined && indices !== undefined && "absorbs" in link)
      absorbedIndices.set(value, new Map([...(absorbedIndices.get(value) ?? []), [link.absorbs[1], indices]]));
  }
  return absorbedIndices;
}

/** Returns the largest difference between the outputs of the pruned node and the expected ones. */
async function tryCut(trial: Trial, node: Node, rule: AxisRule, removed: Removed): Promise<number> {
  const cut = await withOperands(trial, removed, (dense, axes) => without(dense, axes));
  const change = rule.resize?.(channelCut(node, removed));
  const cutNode = lastNode(cut.model);
  for (const [name, attribute] of Object.entries(change?.attributes ?? {}))
    cutNode.graph.setAttribute(cutNode, name, attribute);
  const listAt = (input: string, numbers: readonly number[]): Dense => listFor(cutNode, Number(input), numbers);
  for (const [input, numbers] of Object.entries(change?.inputs ?? {})) {
    const rewritten = cutNode.graph.addTensor("rewritten", inMemory(listAt(input, numbers)));
    cutNode.graph.setInput(cutNode, Number(input), rewritten);
  }
  for (const [input, { dims, of }] of Object.entries(change?.packed ?? {})) {
    const before = await node.inputs[Number(input)]?.tensor?.read();
    if (before === undefined) throw new Error(`input ${input} is not stored`);
    const remaining = of(before);
    expect(remaining.dims).toEqual(dims);
    cutNode.graph.setInput(cutNode, Number(input), cutNode.graph.addTensor("left", inMemory(remaining)));
  }
  const emit = emitInto(cut.model, { before: cutNode });
  for (const [input, steps] of Object.entries(change?.shifts ?? {})) {
    const shifted = emit.Add([cutNode.inputs[Number(input)], emit.constant(listAt(input, steps))]);
    cutNode.graph.setInput(cutNode, Number(input), shifted);
  }
  const touchesOutputs = node.outputs.some((output) => output !== undefined && removed.has(output));
  const zeroed = touchesOutputs ? absorbed(node, rule, removed) : removed;
  const actual = await run(cut.model, cut.feeds);
  const before = zeroed.size === 0 ? trial.outputs : await runZeroed(trial, node, zeroed);
  let worst = 0;
  for (const output of trial.model.graph.outputs) {
    const [got, full] = [actual[output.name], before[output.name]];
    if (got === undefined || full === undefined) return Number.POSITIVE_INFINITY;
    const expected = without(full, removed.get(output) ?? new Map());
    expect(got.dims, output.name).toEqual(expected.dims);
    worst = Math.max(worst, difference(got, expected));
  }
  return worst;
}

/** Runs the node with zeros at some indices of its operands. */
async function runZeroed(trial: Trial, node: Node, zeroed: Removed): Promise<Batch> {
  const { model, feeds } = await withOperands(trial, zeroed, (dense, axes, value) =>
    without(dense, axes, zeroOf(trial, node, value)),
  );
  const isStored = [...zeroed.keys()].some(({ tensor }) => tensor !== undefined);
  return isStored ? run(model, feeds) : trial.session.run(feeds);
}

/** Returns equal texts for equal indices of equal values. */
function textOf(removed: Removed): string {
  const places = [...removed].flatMap(([{ name }, axes]) =>
    [...axes].flatMap(([axis, indices]) => [...indices].map((index) => `${name} ${axis} ${index}`)),
  );
  return places.sort().join();
}

interface Outcome {
  readonly miss: string | undefined;
  readonly tried: number;
  readonly refused: number;
  readonly worst: number;
}

async function check(example: Example): Promise<Outcome> {
  const model = fixedModel(example);
  const node = lastNode(model);
  const inference = infer(model);
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.axes();
  if (rule instanceof Miss) return { miss: rule.reason, tried: 0, refused: 0, worst: 0 };
  const feeds = feedsOf(model, example);
  return withSession(model, async (session) => {
    const trial = { model, feeds, session, outputs: await session.run(feeds) };
    return tryCuts(trial, node, rule);
  });
}

async function tryCuts(trial: Trial, node: Node, rule: AxisRule): Promise<Outcome> {
  let [tried, worst] = [0, 0];
  const met = new Set<string>();
  for (const [end, indices] of starts(node, rule)) {
    const removed = closure(node, rule, end, indices);
    // Two starting points can lead to the same removal, which is tried once.
    const same = met.size;
    if (removed !== undefined && met.add(textOf(removed)).size === same) continue;
    const emptied = [...(removed ?? [])].some(([value, axes]) =>
      [...axes].some(([axis, set]) => set.size === value.type?.dims?.[axis]),
    );
    if (removed === undefined || emptied) continue;
    worst = Math.max(worst, await tryCut(trial, node, rule, removed));
    tried++;
  }
  const refused = rule.links.filter((link) => "refuses" in link).length;
  return { miss: undefined, tried, refused, worst };
}

const outcomes = new Map<Op, Outcome[]>();

describe("removing linked indices equals deleting or zeroing them", () => {
  const cuttable = (example: Example): boolean => !(operatorOf(example).facets.axes instanceof Miss);
  test.each(examplesFor("channels", cuttable))("%s", async (_, example) => {
    const outcome = await check(example);
    const op = operatorOf(example);
    outcomes.set(op, [...(outcomes.get(op) ?? []), outcome]);
    expect(outcome.miss).toEqual(
      example.misses.axes === undefined ? undefined : expect.stringContaining(example.misses.axes),
    );
    expect(outcome.worst).toBeLessThan(1e-5);
  });

  test("the examples cover every operator with linked axes", () => {
    const never = [...outcomes].filter(([, tries]) => tries.every(({ tried }) => tried === 0));
    expect(never.map(([op]) => op.name)).toEqual([]);
    expect([...operators].filter((op) => op.facets.axes === true && !outcomes.has(op)).map((op) => op.name)).toEqual(
      [],
    );
  });

  test("the examples contain a refusal for every operator that mixes an axis", () => {
    const mixing = ["Softmax", "LogSoftmax", "Gather", "Slice", "Pad", "ReduceMean", "ReduceMax", "ReduceLogSumExp"];
    const shown = [...outcomes].filter(([, tries]) => tries.some(({ refused }) => refused > 0)).map(([op]) => op.name);
    expect(shown).toEqual(expect.arrayContaining(mixing));
  });
});
