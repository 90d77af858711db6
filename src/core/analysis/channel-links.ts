/** Lists the axis links that operator definitions state by port number as links between values. */
import { Miss, type Model, type Node, nodeText, type Use, type Value } from "#graph";
import type { AxisEnd, AxisLink } from "../ops/entry.ts";
import { sizeAlong, type UnitLabels, type ValueAxis } from "./channel-labels.ts";
import type { Inference } from "./infer.ts";

/** How a node, or the tie of two stored copies, relates axes. */
export interface ChannelRule {
  readonly node: Node | undefined;
  readonly refusal: Miss | undefined;
  readonly links: readonly Link[];
  /** Axes whose channels the operator's definition does not allow to be removed. */
  readonly refusedAxes: readonly { readonly end: LinkEnd; readonly reason: string }[];
  /** Axes whose channels can be removed alone: the operator sums over them, or no node reads what would change. */
  readonly absorbedAxes: readonly LinkEnd[];
}

/** One axis of an input or output of a node. `port` is "in0", "out0", …, or "original" and "copy" of tied parameters. */
export interface LinkEnd extends ValueAxis {
  readonly port: string;
}

export function* labeledEnds(
  { inputs, outputs }: Node,
  labels: UnitLabels,
): Generator<LinkEnd & { readonly value: Value }, void, undefined> {
  for (const [side, values] of [
    ["in", inputs],
    ["out", outputs],
  ] as const)
    for (const [index, value] of values.entries())
      if (value !== undefined) for (const axis of labels.axesOf(value)) yield { port: `${side}${index}`, value, axis };
}

export const endKey = ({ port, axis }: LinkEnd): string => `${port} ${axis}`;

export interface Link {
  readonly from: LinkEnd;
  readonly to: LinkEnd;
  readonly hasImages: boolean;
  /** For each index along `from`, the corresponding indices along `to`. Undefined if the indices are equal. */
  readonly images: readonly (readonly number[])[] | undefined;
}

/** Returns the rules of nodes and tied parameters. @param withStatistics Also links axes over which a normalization computes statistics. */
export function channelRules(model: Model, inference: Inference, withStatistics: boolean): readonly ChannelRule[] {
  const rules = [...model.graph.nodes()].map((node) => channelRuleOf(node, inference, withStatistics));
  return [...rules, ...tiedRules(model)];
}

function channelRuleOf(node: Node, inference: Inference, withStatistics: boolean): ChannelRule {
  const definition = inference.at(node);
  const axes = definition instanceof Miss ? definition : definition.axes();
  if (axes instanceof Miss)
    return { node, refusal: new Miss(axes.reason, nodeText(node)), links: [], refusedAxes: [], absorbedAxes: [] };
  const axisLinks = axes.links.map((link): AxisLink => {
    if (!("refuses" in link)) return link;
    const [output] = node.outputs;
    if (link.element !== undefined && output !== undefined && !isElementRead(output, link.element, inference))
      return { absorbs: link.refuses };
    return withStatistics ? linkStatistics(link) : link;
  });
  const links = axisLinks.flatMap((link) => ("from" in link ? [linkOf(node, link)] : []));
  const refuses = axisLinks.flatMap((link) =>
    "refuses" in link ? [{ end: linkEndOf(node, link.refuses), reason: link.reason }] : [],
  );
  const absorbs = axisLinks.flatMap((link) => ("absorbs" in link ? [linkEndOf(node, link.absorbs)] : []));
  return { node, refusal: undefined, links, refusedAxes: refuses, absorbedAxes: absorbs };
}

/** Returns whether a node, other than those that only move or convert elements, reads an element of a vector. */
function isElementRead(value: Value, element: number, inference: Inference, visitedKeys = new Set<string>()): boolean {
  const key = `${element} ${value.name}`;
  if (visitedKeys.has(key)) return false;
  visitedKeys.add(key);
  const isReadBy = ({ node, input }: Use): boolean => {
    if (node.graph !== value.graph) return true;
    const isInput = ([port, axis]: AxisEnd): boolean => port === `in${input}` && axis === 0;
    const readings = inference.facet(node, "axes")?.links.flatMap((link) => {
      if ("absorbs" in link) return isInput(link.absorbs) ? [true] : [];
      if ("refuses" in link) return isInput(link.refuses) ? [link.reads?.includes(element) ?? true] : [];
      const { from, to, map = (index: number) => [index] } = link;
      if (!isInput(from) && !isInput(to)) return [];
      const end = linkEndOf(node, isInput(from) ? to : from);
      if (end.value === undefined || end.port.startsWith("in") || end.axis !== 0) return [true];
      const outputs = Array.from({ length: sizeAlong(end) ?? 0 }, (_, index) => index);
      const targetIndices = isInput(from) ? map(element) : outputs.filter((index) => map(index).includes(element));
      return [targetIndices.some((index) => isElementRead(end.value ?? value, index, inference, visitedKeys))];
    });
    return readings === undefined || readings.length === 0 || readings.includes(true);
  };
  return value.graph.isOutput(value) || [...value.uses].some(isReadBy);
}

function linkStatistics(link: Extract<AxisLink, { refuses: AxisEnd }>): AxisLink {
  if (link.statistics === undefined) return link;
  const { to } = link.statistics;
  return to === undefined ? { absorbs: link.refuses } : { from: link.refuses, to };
}

export function linkEndOf(node: Node, [port, axis]: AxisEnd): LinkEnd {
  return { port, value: valueAt(node, port), axis };
}

export function valueAt(node: Node, port: AxisEnd[0]): Value | undefined {
  return port.startsWith("in") ? node.inputs[Number(port.slice(2))] : node.outputs[Number(port.slice(3))];
}

export function linkOf(node: Node, { from, to, map }: Extract<AxisLink, { from: AxisEnd }>): Link {
  const [start, end] = [linkEndOf(node, from), linkEndOf(node, to)];
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

function tiedRules(model: Model): ChannelRule[] {
  const rules: ChannelRule[] = [];
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
    rules.push({ node: undefined, refusal: undefined, links, refusedAxes: [], absorbedAxes: [] });
  }
  return rules;
}
