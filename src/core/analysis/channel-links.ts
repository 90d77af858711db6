/** Resolves the axis links of all operators to values of the graph, for channel analysis. */
import { Miss } from "../errors.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { AxisEnd, AxisLink } from "../ops/entry.ts";
import type { Inference } from "./infer.ts";
import { type Along, type Labels, sizeAlong } from "./units.ts";

/** The kind of those refusals that `throughNorms` lifts: channels on this axis are normalized or averaged together. */
export const statisticsKind = "statistics";

/** Relations between axes of values: the links of a node, or those between two stored copies of one parameter. */
export interface Rule {
  readonly node: Node | undefined;
  readonly refusal: Miss | undefined;
  readonly links: readonly Link[];
  /** Axes whose channels cannot be removed, according to the operator's definition. */
  readonly refuses: readonly { readonly end: End; readonly reason: string; readonly kind: string | undefined }[];
  /** Axes that the operator sums over. */
  readonly absorbs: readonly End[];
}

export interface End extends Along {
  readonly port: string;
}

export function* labelledEnds(
  { inputs, outputs }: Node,
  labels: Labels,
): Generator<End & { readonly value: Value }, void, undefined> {
  for (const [side, values] of [
    ["in", inputs],
    ["out", outputs],
  ] as const)
    for (const [index, value] of values.entries())
      if (value !== undefined) for (const axis of labels.axes(value)) yield { port: `${side}${index}`, value, axis };
}

export const endKey = ({ port, axis }: End): string => `${port} ${axis}`;

export interface Link {
  readonly from: End;
  readonly to: End;
  readonly hasImages: boolean;
  /** For each index along `from`, the positions along `to`; computed on first access. Undefined if the index stays the same. */
  readonly images: readonly (readonly number[])[] | undefined;
}

/**
 * Returns the rules of all nodes of the main graph, then those of tied parameters.
 * @param withStatistics Also follows axes of normalization statistics, which then cover only the remaining channels.
 */
export function rulesOf(model: Model, inference: Inference, withStatistics: boolean): readonly Rule[] {
  const rules = [...model.graph.nodes()].map((node) => ruleOf(node, inference, withStatistics));
  return [...rules, ...tiedRules(model)];
}

function ruleOf(node: Node, inference: Inference, withStatistics: boolean): Rule {
  const bound = inference.at(node);
  const axes = bound instanceof Miss ? bound : bound.axes();
  if (axes instanceof Miss)
    return { node, refusal: new Miss(axes.reason, describe(node)), links: [], refuses: [], absorbs: [] };
  const all = withStatistics ? axes.links.map(followStatistics) : axes.links;
  const links = all.flatMap((link) => ("from" in link ? [linkOf(node, link)] : []));
  const refuses = all.flatMap((link) =>
    "refuses" in link
      ? [{ end: endOf(node, link.refuses), reason: link.reason, kind: link.statistics && statisticsKind }]
      : [],
  );
  const absorbs = all.flatMap((link) => ("absorbs" in link ? [endOf(node, link.absorbs)] : []));
  return { node, refusal: undefined, links, refuses, absorbs };
}

function followStatistics(link: AxisLink): AxisLink {
  if (!("refuses" in link) || link.statistics === undefined) return link;
  const { to } = link.statistics;
  return to === undefined ? { absorbs: link.refuses } : { from: link.refuses, to };
}

export function endOf(node: Node, [port, axis]: AxisEnd): End {
  return { port, value: valueAt(node, port), axis };
}

export function valueAt(node: Node, port: AxisEnd[0]): Value | undefined {
  return port.startsWith("in") ? node.inputs[Number(port.slice(2))] : node.outputs[Number(port.slice(3))];
}

export function linkOf(node: Node, { from, to, map }: Extract<AxisLink, { from: AxisEnd }>): Link {
  const [start, end] = [endOf(node, from), endOf(node, to)];
  let images: readonly (readonly number[])[] | undefined;
  return {
    from: start,
    to: end,
    hasImages: map !== undefined,
    get images() {
      if (map === undefined) return undefined;
      const length = sizeAlong(end) === undefined ? 0 : (sizeAlong(start) ?? 0);
      images ??= Array.from({ length }, (_, index) => map(index));
      return images;
    },
  };
}

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
      return { from: { port: "copy", value, axis }, to, hasImages: false, images: undefined };
    });
    rules.push({ node: undefined, refusal: undefined, links, refuses: [], absorbs: [] });
  }
  return rules;
}
