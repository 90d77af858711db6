/**
 * Finds where a positive factor per channel can move without changing the model: a layer's weight and bias times s, the next layer's weight divided
 * by s along its inputs. Units of factors spread along links as channels do (`channels.ts`), through `homogeneous` operators. Along an output axis,
 * each product:
 * - with a stored operand is adjusted by it, so factors before and after are independent; if all products are, units begin;
 * - without a stored operand has the factor of its computed operand; of several, the first whose producer is homogeneous.
 * An axis that two operands sum over has the factor in one and the inverse in the other. Units are refused at model inputs and outputs, inhomogeneous
 * operators, stored tensors with other readers, and if they meet their own inverse.
 */
import { Miss } from "../errors.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { AxisEnd, AxisLink } from "../ops/entry.ts";
import { isFloat } from "../tensor/convert.ts";
import { type End, endKey, endOf, type Link, labelledEnds, linkOf } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import { type PowerLink, type Powers, powersOf } from "./scale-powers.ts";
import { spread } from "./spread.ts";
import { type LabelledEnd, type Slice, unitGroups } from "./unit-groups.ts";
import { type Along, Labels, sizeAlong } from "./units.ts";

/** A stored tensor that takes the factors of units along an axis, or their inverses. */
export interface ScaledSlice extends Slice {
  readonly power: 1 | -1;
}

/** Units of factors that begin on a common axis. */
export interface ScaleGroup {
  readonly units: number;
  /** Outputs of layers, tables and normalizations where the units begin. */
  readonly starts: readonly Along[];
  readonly slices: readonly ScaledSlice[];
  readonly refused: ReadonlyMap<number, Miss>;
}

/** The factor or inverse at an end, mapped from indices of a stored operand to positions of the end. */
interface Factor {
  readonly end: End;
  readonly power: 1 | -1;
  positions(index: number): readonly number[];
}

interface ScaledOperand {
  readonly value: Value;
  readonly axis: number;
  readonly factor: Factor;
}

interface Passage {
  readonly node: Node;
  readonly links: readonly PowerLink[];
  readonly scaled: readonly ScaledOperand[];
  /** Output axes whose factors do not follow from an input. */
  readonly starts: readonly End[];
  /** Ends, by `endKey`, that factors can reach. */
  readonly open: ReadonlySet<string>;
  readonly reason: string;
}

/** Returns all groups of the main graph, including those whose units are all refused. */
export function scaleGroups(model: Model, inference: Inference): readonly ScaleGroup[] {
  const passages = [...model.graph.nodes()].map((node) => passageOf(node, inference));
  const starts = passages.flatMap((passage) => passage.starts);
  const labels = new Labels();
  for (const { value, axis } of starts) if (value !== undefined) labels.start(value, axis);
  spread(passages, labels);
  const links = passages.flatMap((passage) => passage.links);
  const { powers, clashes } = powersOf(links, starts, labels);
  const refused = new Map<number, Miss>();
  const refuse = (units: Iterable<number>, miss: Miss): void => {
    for (const unit of units) if (unit >= 0 && !refused.has(labels.find(unit))) refused.set(labels.find(unit), miss);
  };
  for (const clash of clashes) refuse(labels.at(clash) ?? [], new Miss("it meets its own inverse", clash.value?.name));
  refuseEnds(model, passages, labels, refuse);
  const ends = passages.flatMap(({ node, scaled }) =>
    scaled.flatMap((operand) => labelled(node, operand, labels, powers, refuse)),
  );
  return unitGroups(starts, labels, ends, refused).map(({ starts: indices, ...group }) => ({
    ...group,
    starts: indices.flatMap((index) => starts[index] ?? []),
  }));
}

type Refuse = (units: Iterable<number>, miss: Miss) => void;

/** Returns the units along an axis of a stored operand; undefined if none reaches it. */
function labelled(
  node: Node,
  { value, axis, factor }: ScaledOperand,
  labels: Labels,
  powers: Powers,
  refuse: Refuse,
): readonly (LabelledEnd & { readonly power: 1 | -1 })[] {
  const [reached, size] = [labels.at(factor.end), sizeAlong({ value, axis })];
  if (reached === undefined || factor.end.value === undefined) return [];
  if (size === undefined) {
    refuse(reached, new Miss("an axis has too many entries", value.name));
    return [];
  }
  const label = new Int32Array(size).fill(-1);
  for (let index = 0; index < size; index++) {
    const positions = factor.positions(index);
    label[index] = labels.common(reached, positions);
    if (label[index] === -1)
      refuse(
        positions.map((position) => reached[position] ?? -1),
        new Miss("one weight represents several channels", describe(node)),
      );
  }
  const power = powers.get(factor.end.value)?.get(factor.end.axis) ?? 1;
  return [{ value, axis, label, power: power === factor.power ? 1 : -1 }];
}

function refuseEnds({ graph }: Model, passages: readonly Passage[], labels: Labels, refuse: Refuse): void {
  const outputs = new Set(graph.outputs);
  const inputs = new Set(graph.feeds);
  for (const { value, label } of labels.ends()) {
    if (outputs.has(value)) refuse(label, new Miss("it is an output of the model", value.name));
    if (inputs.has(value)) refuse(label, new Miss("it is an input of the model", value.name));
    if (value.tensor !== undefined) refuse(label, new Miss("a stored tensor cannot absorb it", value.name));
    for (const { node } of value.uses)
      if (node.graph !== graph) refuse(label, new Miss("a subgraph reads it", describe(node)));
  }
  for (const { node, open, links, reason } of passages) {
    for (const end of labelledEnds(node, labels))
      if (!open.has(endKey(end))) refuse(labels.at(end) ?? [], new Miss(reason, describe(node)));
    for (const { from, to } of links)
      for (const [end, other] of [
        [from, to],
        [to, from],
      ] as const)
        if (other.value !== undefined && sizeAlong(other) === undefined)
          refuse(labels.at(end) ?? [], new Miss("it reaches an axis whose size is not known", describe(node)));
  }
}

type PlainLink = Extract<AxisLink, { readonly from: AxisEnd }>;

const isInput = ([port]: AxisEnd): boolean => port.startsWith("in");
const inputOf = ([port]: AxisEnd): number => Number(port.slice(2));
const same = (a: AxisEnd, b: AxisEnd): boolean => a[0] === b[0] && a[1] === b[1];

function passageOf(node: Node, inference: Inference): Passage {
  const passage = { node, links: [], scaled: [], starts: [], open: new Set<string>() };
  const bound = inference.at(node);
  if (bound instanceof Miss) return { ...passage, reason: bound.reason };
  const homogeneous = bound.homogeneous();
  if (homogeneous === undefined) return { ...passage, reason: "it does not commute with scale factors" };
  const axes = bound.axes();
  if (axes instanceof Miss) return { ...passage, reason: axes.reason };
  const links = [...axes.links, ...(homogeneous.links ?? [])].flatMap((link) => ("from" in link ? [link] : []));
  const products = homogeneous.products.filter((product) => product.every((input) => node.inputs[input] !== undefined));
  const parts = [...alongOutputs(node, products, links, inference), ...alongSums(node, products, links)];
  return {
    node,
    links: [
      ...parts.flatMap((part) => part.links ?? []),
      ...links.filter(({ from, to }) => from[0] === to[0]).map((link) => linkOf(node, link)),
    ],
    scaled: parts.flatMap((part) => part.scaled ?? []),
    starts: parts.flatMap((part) => part.starts ?? []),
    open: new Set(parts.flatMap((part) => part.open.map(endKey))),
    reason: "it requires these values unchanged",
  };
}

type PartialPassage = Partial<Pick<Passage, "links" | "scaled" | "starts">> & { readonly open: readonly End[] };

/** Yields each output axis and the input axes that equal it. */
function* alongOutputs(
  node: Node,
  products: readonly (readonly number[])[],
  links: readonly PlainLink[],
  inference: Inference,
): Generator<PartialPassage, void, undefined> {
  const outs = links.flatMap(({ from, to }) => [from, to].filter((end) => !isInput(end)));
  for (const [index, out] of outs.entries()) {
    if (outs.findIndex((other) => same(other, out)) < index) continue;
    const into = links.filter(({ from, to }) => isInput(from) && same(to, out));
    const back = links.filter(({ from, to }) => same(from, out) && isInput(to));
    const linked = new Set([...into.map(({ from }) => inputOf(from)), ...back.map(({ to }) => inputOf(to))]);
    const solved = new Map<number, readonly Factor[]>();
    const flowing = new Set<number>();
    const end = endOf(node, out);
    const isBlocked = products.some((product) => {
      const operands = product.filter((input) => linked.has(input));
      const stored = operands.find((input) => !solved.has(input) && tensorAt(node, input) !== undefined);
      if (stored === undefined) {
        const computed = operands.filter((input) => tensorAt(node, input) === undefined);
        const carrier = computed.find((input) => !isLimited(node.inputs[input], inference)) ?? computed[0];
        if (carrier === undefined || computed.length < operands.length) return true;
        flowing.add(carrier);
        return false;
      }
      const rest = operands.filter((input) => input !== stored);
      // After a reshape an axis can be several, and a stored operand cannot adjust a part of one.
      if ([stored, ...rest].some((input) => into.filter(({ from }) => inputOf(from) === input).length !== 1))
        return true;
      solved.set(stored, remainingFactors(node, end, rest, into, solved));
      return false;
    });
    if (isBlocked) continue;
    const flows = [
      ...into.filter(({ from }) => flowing.has(inputOf(from))),
      ...back.filter(({ to }) => flowing.has(inputOf(to))),
    ];
    const scaled = [...solved].flatMap(([input, factors]) => scaledOperands(node, input, factors, into));
    yield {
      links: flows.map((link) => linkOf(node, link)),
      scaled,
      starts: flowing.size === 0 && solved.size > 0 ? [end] : [],
      open: [
        end,
        ...scaled.map(({ factor }) => factor.end),
        ...flows.flatMap(({ from, to }) => [endOf(node, from), endOf(node, to)]),
      ],
    };
  }
}

/** Returns the factors that a stored operand takes: the output's factor divided by those of the other operands of its product. */
function remainingFactors(
  node: Node,
  out: End,
  rest: readonly number[],
  into: readonly PlainLink[],
  solved: ReadonlyMap<number, readonly Factor[]>,
): readonly Factor[] {
  const inverses = rest.flatMap((input): readonly Factor[] => {
    const factors = solved.get(input);
    if (factors !== undefined) return factors.map((factor) => ({ ...factor, power: factor.power === 1 ? -1 : 1 }));
    const link = into.find(({ from }) => inputOf(from) === input);
    return link === undefined || tensorAt(node, input) !== undefined
      ? []
      : [{ end: endOf(node, link.from), power: -1, positions: backwards(linkOf(node, link)) }];
  });
  const output: Factor = { end: out, power: 1, positions: (position) => [position] };
  const cancels = inverses.find(({ end, power }) => end.port === out.port && end.axis === out.axis && power === -1);
  return cancels === undefined ? [output, ...inverses] : inverses.filter((factor) => factor !== cancels);
}

function scaledOperands(
  node: Node,
  input: number,
  factors: readonly Factor[],
  into: readonly PlainLink[],
): readonly ScaledOperand[] {
  const value = tensorAt(node, input);
  const link = into.find(({ from }) => inputOf(from) === input);
  if (value === undefined || link === undefined) return [];
  const { images } = linkOf(node, link);
  return factors.map((factor) => ({
    value,
    axis: link.from[1],
    factor: {
      ...factor,
      positions: (index) => (images?.[index] ?? [index]).flatMap((place) => factor.positions(place)),
    },
  }));
}

/** Yields the axes that two operands of a product sum over. */
function* alongSums(
  node: Node,
  products: readonly (readonly number[])[],
  links: readonly PlainLink[],
): Generator<PartialPassage, void, undefined> {
  for (const plain of links) {
    const { from, to } = plain;
    if (!isInput(from) || !isInput(to) || from[0] === to[0]) continue;
    const [a, b] = [inputOf(from), inputOf(to)];
    if (!products.some((product) => product.includes(a) && product.includes(b))) continue;
    const link = linkOf(node, plain);
    const [fromTensor, toTensor] = [tensorAt(node, a), tensorAt(node, b)];
    const forwards = (index: number): readonly number[] => link.images?.[index] ?? [index];
    if (toTensor !== undefined)
      yield {
        scaled: [{ value: toTensor, axis: to[1], factor: { end: link.from, power: -1, positions: backwards(link) } }],
        open: [link.from],
      };
    else if (fromTensor !== undefined)
      yield {
        scaled: [{ value: fromTensor, axis: from[1], factor: { end: link.to, power: -1, positions: forwards } }],
        open: [link.to],
      };
    else yield { links: [{ ...link, inverse: true }], open: [link.from, link.to] };
  }
}

/** Maps a position at a link's end to those at its beginning. */
function backwards(link: Link): (position: number) => readonly number[] {
  if (!link.hasImages) return (position) => [position];
  let inverse: Map<number, number[]> | undefined;
  return (position) => {
    if (inverse === undefined) {
      inverse = new Map();
      for (const [index, image] of (link.images ?? []).entries())
        for (const place of image) {
          const indices = inverse.get(place);
          if (indices === undefined) inverse.set(place, [index]);
          else indices.push(index);
        }
    }
    return inverse.get(position) ?? [];
  };
}

/** Returns the stored float tensor at an input if only this node reads it and its role allows a change. */
function tensorAt(node: Node, input: number): Value | undefined {
  const value = node.inputs[input];
  if (value?.tensor === undefined || !isFloat(value.tensor.type)) return undefined;
  const isFree = value.role === undefined || value.role.kind === "parameter" || value.role.kind === "buffer";
  const isAlone = value.uses.size === 1 && value.graph === node.graph;
  return isFree && isAlone && !value.graph.isOutput(value) && !value.graph.isInput(value) ? value : undefined;
}

function isLimited(value: Value | undefined, inference: Inference): boolean {
  return value?.producer === undefined || inference.facet(value.producer, "homogeneous") === undefined;
}
