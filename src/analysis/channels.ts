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
 * mentions, an operator without entry, inputs and outputs of the model, values that subgraphs read.
 *
 * Costs the number of nodes times the number of channels, times a few sweeps.
 */
import { Miss } from "../errors.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { AxisEnd, AxisLink } from "../ops/index.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers as layersOf } from "./layers.ts";
import { Labels } from "./units.ts";

/** An axis along which some indices belong to units of a group. */
export interface Slice {
  readonly value: Value;
  readonly axis: number;
  /** Index along the axis → unit of the group, or -1. */
  readonly unitOf: Int32Array;
}

/** Channels of one or several layers that compete with each other: any unit that is not refused can go without the others. */
export interface Group {
  /** The layers whose output channels the units are. */
  readonly layers: readonly Layer[];
  readonly units: number;
  /** Every axis that a unit reaches: of weights, constants and activations. */
  readonly slices: readonly Slice[];
  /** Units that cannot go, with the reason. */
  readonly refused: ReadonlyMap<number, Miss>;
}

/** The units of a group that can go. */
export function removable(group: Group): readonly number[] {
  return Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
}

/** What ties positions together: a node's links, or two stored tensors that are one parameter. */
interface Rule {
  readonly node: Node | undefined;
  readonly refusal: Miss | undefined;
  readonly links: readonly Link[];
  /** Axes where the entry says no, and those that are summed over. */
  readonly refuses: readonly { readonly end: End; readonly reason: string }[];
  readonly absorbs: readonly End[];
}

/** An axis of an operand; the value is undefined for an output that is left out. */
interface End {
  readonly port: string;
  readonly value: Value | undefined;
  readonly axis: number;
}

interface Link {
  readonly from: End;
  readonly to: End;
  /** Positions of `to` for each index of `from`; undefined: the same index. */
  readonly images: readonly (readonly number[])[] | undefined;
}

/**
 * All groups of channels of the main graph, in the order of their first layers. Groups that cannot be cut at all are listed too, with
 * every unit refused.
 */
export function channelGroups(model: Model, inference: Inference): readonly Group[] {
  const layers = layersOf(model, inference);
  const labels = new Labels();
  const rules = [...model.graph.nodes()].map((node) => ruleOf(node, inference));
  rules.push(...tiedRules(model));
  for (const layer of layers) labels.start(layer.effective, layer.role.out);
  const backwards = rules.toReversed();
  do {
    let changed: boolean;
    do {
      const before = labels.changes;
      for (const rule of rules) spread(rule, labels);
      for (const rule of backwards) spread(rule, labels);
      changed = labels.changes !== before;
    } while (changed);
  } while (rules.some((rule) => joinAlternatives(rule, labels)));
  return collect(layers, labels, refusals(model, rules, labels));
}

function ruleOf(node: Node, inference: Inference): Rule {
  const bound = inference.at(node);
  const found = bound instanceof Miss ? bound : bound.axes();
  if (found instanceof Miss) {
    const refusal = new Miss(found.reason, describe(node));
    return { node, refusal, links: [], refuses: [], absorbs: [] };
  }
  const links = found.links.flatMap((link) => ("from" in link ? [prepare(node, link)] : []));
  const refuses = found.links.flatMap((link) =>
    "refuses" in link ? [{ end: endOf(node, link.refuses), reason: link.reason }] : [],
  );
  const absorbs = found.links.flatMap((link) => ("absorbs" in link ? [endOf(node, link.absorbs)] : []));
  return { node, refusal: undefined, links, refuses, absorbs };
}

function endOf(node: Node, [port, axis]: AxisEnd): End {
  return { port, value: valueAt(node, port), axis };
}

/** The value at a port: `in0`, `out1`. */
export function valueAt(node: Node, port: AxisEnd[0]): Value | undefined {
  return port.startsWith("in") ? node.inputs[Number(port.slice(2))] : node.outputs[Number(port.slice(3))];
}

function prepare(node: Node, { from, to, map }: Extract<AxisLink, { from: AxisEnd }>): Link {
  const [start, end] = [endOf(node, from), endOf(node, to)];
  let images: readonly (readonly number[])[] | undefined;
  return {
    from: start,
    to: end,
    get images() {
      if (map === undefined) return undefined;
      // An output that is left out has no size to go by: its indices end where the images leave the other axis.
      images ??= imagesOf(map, sizeAlong(start) ?? 0);
      return images;
    },
  };
}

function imagesOf(map: (index: number) => readonly number[], size: number): readonly (readonly number[])[] {
  return Array.from({ length: size }, (_, index) => map(index));
}

/** The size of an axis, if it is a number. */
export function sizeAlong({
  value,
  axis,
}: {
  readonly value: Value | undefined;
  readonly axis: number;
}): number | undefined {
  const dim = (value?.tensor?.dims ?? value?.type?.dims)?.[axis];
  return typeof dim === "number" ? dim : undefined;
}

/** Stored copies of one parameter are cut alike. */
function tiedRules(model: Model): Rule[] {
  const rules: Rule[] = [];
  for (const value of model.graph.values()) {
    if (value.role?.kind !== "tied" || value.tensor === undefined) continue;
    const { role } = value;
    const original = model.graph.value(role.name);
    const rank = value.tensor.dims.length;
    if (original?.tensor === undefined) continue;
    const links = value.tensor.dims.map((_, axis): Link => {
      const to = { port: "original", value: original, axis: role.transposed ? rank - 1 - axis : axis };
      return { from: { port: "copy", value, axis }, to, images: undefined };
    });
    rules.push({ node: undefined, refusal: undefined, links, refuses: [], absorbs: [] });
  }
  return rules;
}

/** Follows every link of a rule in both directions. */
function spread(rule: Rule, labels: Labels): void {
  for (const { from, to, images } of rule.links) {
    const start = labels.at(from);
    if (start !== undefined) {
      for (let index = 0; index < start.length; index++) {
        const unit = start[index] ?? -1;
        if (unit < 0) continue;
        for (const position of images?.[index] ?? [index]) labels.assign(to, position, unit);
      }
    }
    const end = labels.at(to);
    const size = sizeAlong(from);
    if (end === undefined || size === undefined || from.value === undefined) continue;
    for (let index = 0; index < size; index++) {
      const unit = labels.common(end, images?.[index] ?? [index]);
      if (unit >= 0) labels.assign(from, index, unit);
    }
  }
}

/**
 * Where no axis of an operand accounts for all labelled positions of the axis it is linked to: joins the units of each image of the
 * first one. True if anything was joined.
 */
function joinAlternatives(rule: Rule, labels: Labels): boolean {
  const sets = new Map<string, Link[]>();
  for (const link of rule.links) {
    const alternatives = `${link.from.port} ${key(link.to)}`;
    sets.set(alternatives, [...(sets.get(alternatives) ?? []), link]);
  }
  let joined = false;
  for (const set of sets.values()) {
    const [first] = set;
    const end = first === undefined ? undefined : labels.at(first.to);
    if (first?.images === undefined || end === undefined) continue;
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

/** Unit → why it cannot go. */
function refusals(model: Model, rules: readonly Rule[], labels: Labels): ReadonlyMap<number, Miss> {
  const refused = new Map<number, Miss>();
  const refuse = (end: { readonly value: Value | undefined; readonly axis: number }, miss: Miss): void => {
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
    if (outputs.has(value)) refuse(end, new Miss("they are an output of the model", value.name));
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
        if (other.value !== undefined && sizeAlong(other) === undefined) {
          refuse(end, new Miss("they reach an axis whose size is not known", describe(node)));
        }
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
          refuse(end, new Miss(`axis ${axis} of ${port} cannot be cut`, describe(node)));
      }
    }
  }
  return refused;
}

const key = ({ port, axis }: End): string => `${port} ${axis}`;

/** Units by the layers they belong to: layers with a common unit are one group. */
function collect(layers: readonly Layer[], labels: Labels, refused: ReadonlyMap<number, Miss>): readonly Group[] {
  const groupOf = new Map<number, Set<Layer>>();
  for (const layer of layers) {
    const units = unitsOf(layer, labels);
    const members = new Set([layer]);
    for (const set of new Set(units.flatMap((unit) => groupOf.get(unit) ?? []))) {
      for (const member of set) members.add(member);
    }
    for (const member of members) for (const unit of unitsOf(member, labels)) groupOf.set(unit, members);
  }
  return [...new Set(groupOf.values())].map((members) => {
    const ordered = layers.filter((layer) => members.has(layer));
    const numbers = new Map<number, number>();
    for (const layer of ordered) {
      for (const unit of unitsOf(layer, labels)) if (!numbers.has(unit)) numbers.set(unit, numbers.size);
    }
    const slices: Slice[] = [];
    for (const { value, axis, label } of labels.ends()) {
      const unitOf = label.map((unit) => (unit < 0 ? -1 : (numbers.get(labels.find(unit)) ?? -1)));
      if (unitOf.some((unit) => unit >= 0)) slices.push({ value, axis, unitOf });
    }
    const no = new Map(
      [...numbers].flatMap(([unit, number]) => {
        const miss = refused.get(unit);
        return miss === undefined ? [] : [[number, miss] as const];
      }),
    );
    return { layers: ordered, units: numbers.size, slices, refused: no };
  });
}

function unitsOf(layer: Layer, labels: Labels): number[] {
  const label = labels.at({ value: layer.effective, axis: layer.role.out });
  return [...new Set(Array.from(label ?? [], (unit) => labels.find(unit)))];
}
