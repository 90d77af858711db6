/**
 * Channels that must go together: what else has to be cut when an output channel of a layer is.
 *
 * A *position* is an index along an axis of a value. Each output channel of each layer starts as a unit of its own. Units spread over
 * positions through the links of the operators' entries (`axes`), forwards and backwards, until nothing changes; a position that two
 * units reach makes them one. What remains are groups: units that share no position can go one without the other, and layers that share
 * units are one group.
 *
 * A link from index i to the positions map(i) is followed forwards always, and backwards where map(i) carries one single unit. Several axes
 * of one operand that link to the same axis (the axes that a Flatten merges) are alternatives: one must apply. Where none does, the
 * units of each image of the outermost become one: a head of an attention layer, the same position in each group of a grouped convolution.
 *
 * Units are refused, with the reason, where cutting would change the model's interface or what an operator computes: an axis that no link
 * mentions, an operator without entry, inputs and outputs of the model, values that subgraphs read; and a unit that is all of an axis.
 *
 * Costs the number of nodes times the number of channels, times a few sweeps.
 */
import { Miss } from "../errors.ts";
import { describe, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { groupBy } from "../tensor/group-by.ts";
import { type End, type Rule, rulesOf } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers as layersOf } from "./layers.ts";
import { type Along, Labels, sizeAlong } from "./units.ts";

/** An axis along which some indices belong to units of a group. */
export interface Slice {
  readonly value: Value;
  readonly axis: number;
  /** Index along the axis → unit of the group, or -1. */
  readonly unitOf: Int32Array;
}

/** Channels of one or several layers that compete with each other: any unit that is not refused can go without the others. */
export interface Group {
  readonly layers: readonly Layer[];
  readonly units: number;
  /** Every axis that a unit reaches: of weights, constants and activations. */
  readonly slices: readonly Slice[];
  readonly refused: ReadonlyMap<number, Miss>;
}

/** The units of a group that can go. */
export function removable(group: Group): readonly number[] {
  return Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
}

/**
 * All groups of channels of the main graph, in the order of their first layers. Groups that cannot be cut at all are listed too, with
 * every unit refused.
 */
export function channelGroups(model: Model, inference: Inference): readonly Group[] {
  // Columns of a table go with the channels that they join.
  const layers = layersOf(model, inference).filter(({ role }) => role.kind !== "lookup");
  const labels = new Labels();
  const rules = rulesOf(model, inference);
  for (const layer of layers) labels.start(layer.effective, layer.role.out);
  const backwards = rules.toReversed();
  const done = new Map<Rule, Done>();
  do {
    let changed: boolean;
    do {
      const before = labels.changes;
      for (const rule of rules) spreadOnce(rule, labels, done);
      for (const rule of backwards) spreadOnce(rule, labels, done);
      changed = labels.changes !== before;
    } while (changed);
  } while (rules.some((rule) => joinAlternatives(rule, labels)));
  return collect(layers, labels, refusals(model, rules, labels));
}

/** How far labels had come when a rule was last followed. */
interface Done {
  readonly changes: number;
  readonly joins: number;
}

/**
 * Follows a rule unless it would find what it found before: no position of its values got a unit since, and, where images count, no two
 * units became one. A deep network is swept as often as labels have to travel through it, and most of it is at rest in most sweeps.
 */
function spreadOnce(rule: Rule, labels: Labels, done: Map<Rule, Done>): void {
  const last = done.get(rule);
  const since = last?.changes ?? -1;
  const isAtRest = rule.links.every(
    ({ from, to, hasImages }) =>
      labels.reachedAt(from.value) <= since &&
      labels.reachedAt(to.value) <= since &&
      (!hasImages || labels.joins === last?.joins),
  );
  if (isAtRest) return;
  done.set(rule, { changes: labels.changes, joins: labels.joins });
  spread(rule, labels);
}

function spread(rule: Rule, labels: Labels): void {
  for (const link of rule.links) {
    const { from, to } = link;
    const start = labels.at(from);
    // Images take memory: only those are computed that something reaches.
    if (start === undefined && labels.at(to) === undefined) continue;
    const { images } = link;
    if (start !== undefined) {
      for (let index = 0; index < start.length; index++) {
        const unit = start[index] ?? -1;
        if (unit < 0) continue;
        if (images === undefined) labels.assign(to, index, unit);
        else for (const position of images[index] ?? []) labels.assign(to, position, unit);
      }
    }
    const end = labels.at(to);
    const size = sizeAlong(from);
    if (end === undefined || size === undefined || from.value === undefined) continue;
    for (let index = 0; index < size; index++) {
      const unit = images === undefined ? (end[index] ?? -1) : labels.common(end, images[index] ?? []);
      if (unit >= 0) labels.assign(from, index, unit);
    }
  }
}

/**
 * Where no axis of an operand accounts for all labelled positions of the axis it is linked to: joins the units of each image of the
 * first one. True if anything was joined.
 */
function joinAlternatives(rule: Rule, labels: Labels): boolean {
  const sets = groupBy(rule.links, ({ from, to }) => `${from.port} ${key(to)}`);
  let joined = false;
  for (const set of sets.values()) {
    const [first] = set;
    const end = labels.at(first.to);
    if (end === undefined || first.images === undefined) continue;
    const covered = new Uint8Array(end.length);
    for (const { images } of set) {
      for (const image of images ?? []) {
        if (labels.common(end, image) >= 0) for (const position of image) covered[position] = 1;
      }
    }
    for (const image of first.images) {
      const open = image.find((position) => (end[position] ?? -1) >= 0 && covered[position] === 0);
      const unit = open === undefined ? undefined : end[open];
      if (unit === undefined) continue;
      for (const position of image) labels.assign(first.to, position, unit);
      joined = true;
    }
  }
  return joined;
}

const asOutput = "they are an output of the model";

function refusals(model: Model, rules: readonly Rule[], labels: Labels): ReadonlyMap<number, Miss> {
  const refused = new Map<number, Miss>();
  const refuse = (end: Along, miss: Miss): void => {
    for (const label of labels.at(end) ?? []) {
      const unit = label < 0 ? -1 : labels.find(label);
      if (unit >= 0 && !refused.has(unit)) refused.set(unit, miss);
    }
  };
  const { graph } = model;
  const outputs = new Set(graph.outputs);
  const inputs = new Set(graph.feeds);
  for (const { value, axis } of labels.ends()) {
    const end = { value, axis };
    if (outputs.has(value)) refuse(end, new Miss(asOutput, value.name));
    if (inputs.has(value)) refuse(end, new Miss("they are an input of the model", value.name));
    for (const { node } of value.uses) {
      if (node.graph !== graph) refuse(end, new Miss("a subgraph reads them", describe(node)));
    }
  }
  for (const rule of rules) {
    const { node } = rule;
    if (node === undefined) continue;
    for (const { end, reason } of rule.refuses) refuse(end, new Miss(reason, describe(node)));
    for (const { from, to } of rule.links) {
      for (const [end, other] of [
        [from, to],
        [to, from],
      ] as const) {
        if (other.value === undefined || sizeAlong(other) !== undefined) continue;
        if (outputs.has(other.value)) refuse(end, new Miss(asOutput, other.value.name));
        const dim = other.value.type?.dims?.[other.axis];
        const why =
          typeof dim === "number"
            ? `an axis of ${dim.toLocaleString("en")} entries, which is too long to be followed`
            : "an axis whose size is not known";
        refuse(end, new Miss(`they reach ${why}`, describe(node)));
      }
    }
    const mentioned = new Set([
      ...rule.links.flatMap(({ from, to }) => [key(from), key(to)]),
      ...rule.refuses.map(({ end }) => key(end)),
      ...rule.absorbs.map(key),
    ]);
    const ports = [
      ...node.inputs.map((value, index) => ({ port: `in${index}`, value })),
      ...node.outputs.map((value, index) => ({ port: `out${index}`, value })),
    ];
    for (const { port, value } of ports) {
      if (value === undefined) continue;
      for (const axis of labels.axes(value)) {
        const end = { port, value, axis };
        if (rule.refusal !== undefined) refuse(end, rule.refusal);
        else if (!mentioned.has(key(end)))
          refuse(end, new Miss(`a node needs the whole axis ${axis} of "${value.name}"`, describe(node)));
      }
    }
  }
  for (const { value, axis, label } of labels.ends()) {
    if (labels.common(label, label.keys()) < 0) continue;
    const at = value.producer === undefined ? value.name : describe(value.producer);
    refuse(
      { value, axis },
      new Miss(`they can only be removed together, which would leave nothing of axis ${axis}`, at),
    );
  }
  return refused;
}

const key = ({ port, axis }: End): string => `${port} ${axis}`;

/** Layers with a common unit are one group; its units are numbered in the order in which its layers have them. */
function collect(layers: readonly Layer[], labels: Labels, refused: ReadonlyMap<number, Miss>): readonly Group[] {
  // Of each unit the first layer that has it; of each layer one before it that shares a unit, or itself.
  const owner = new Int32Array(labels.units).fill(-1);
  const before = Int32Array.from(layers.keys());
  const firstOf = (layer: number): number => {
    let at = layer;
    while (before[at] !== at) {
      const next = before[at] ?? at;
      before[at] = before[next] ?? next;
      at = next;
    }
    return at;
  };
  for (const [index, layer] of layers.entries()) {
    for (const unit of unitsOf(layer, labels)) {
      const other = owner[unit] ?? -1;
      if (other < 0) owner[unit] = index;
      else {
        const [a, b] = [firstOf(other), firstOf(index)];
        before[Math.max(a, b)] = Math.min(a, b);
      }
    }
  }
  const groups = new Map<number, { layers: Layer[]; units: number; slices: Slice[]; refused: Map<number, Miss> }>();
  const numbers = new Int32Array(labels.units).fill(-1);
  for (const [index, layer] of layers.entries()) {
    const first = firstOf(index);
    const group = groups.get(first) ?? { layers: [], units: 0, slices: [], refused: new Map<number, Miss>() };
    for (const unit of unitsOf(layer, labels)) {
      if (numbers[unit] !== -1) continue;
      numbers[unit] = group.units;
      const miss = refused.get(unit);
      if (miss !== undefined) group.refused.set(group.units, miss);
      group.units++;
    }
    group.layers.push(layer);
    if (group.units > 0) groups.set(first, group);
  }
  for (const { value, axis, label } of labels.ends()) {
    const own = new Map<number, Int32Array>();
    for (const [index, unit] of label.entries()) {
      const root = unit < 0 ? -1 : labels.find(unit);
      const layer = owner[root] ?? -1;
      if (layer < 0) continue;
      const first = firstOf(layer);
      let unitOf = own.get(first);
      if (unitOf === undefined) {
        unitOf = new Int32Array(label.length).fill(-1);
        own.set(first, unitOf);
      }
      unitOf[index] = numbers[root] ?? -1;
    }
    for (const [first, unitOf] of own) groups.get(first)?.slices.push({ value, axis, unitOf });
  }
  return [...groups.values()];
}

/** The units of a layer's output channels, in order; one that several channels share comes as often. */
function* unitsOf(layer: Layer, labels: Labels): Generator<number, void, undefined> {
  for (const unit of labels.at({ value: layer.effective, axis: layer.role.out }) ?? [])
    if (unit >= 0) yield labels.find(unit);
}
