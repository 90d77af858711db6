/**
 * Finds where a positive factor s per channel can be applied without changing the model (equalization): one layer's weight is multiplied
 * by s, and the next layer's weight is divided by s along its inputs. A unit is one such factor. Units spread along links as channels do
 * (`channels.ts`), but only through operators that commute with a factor (`homogeneous`):
 * - A stored operand of a product is rescaled, so the factors before and after the product are independent.
 * - If no operand is stored, the output has the factor of a computed operand.
 * - Along an axis that a product sums over, one operand has the factor and the other has its inverse.
 */
import { groupBy, isFloat, Miss, type Model, type Node, nodeText, type Value } from "#graph";
import type { AxisEnd, AxisLink } from "../ops/entry.ts";
import { sizeAlong, UnitLabels, type ValueAxis } from "./channel-labels.ts";
import { endKey, type Link, type LinkEnd, labeledEnds, linkEndOf, linkOf } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import { spread } from "./spread-labels.ts";
import { type LabeledAxis, type Slice, unitGroups } from "./unit-groups.ts";

/** A stored tensor that is multiplied or divided by the factors of units along an axis. */
export interface ScaledSlice extends Slice {
  /** 1 if the tensor is multiplied by the factors, -1 if it is divided by them. */
  readonly power: 1 | -1;
}

/** Units whose factors start on a common axis. */
export interface ScaleGroup {
  readonly units: number;
  /** Outputs of nodes with stored operands where the units begin. */
  readonly starts: readonly ValueAxis[];
  readonly slices: readonly ScaledSlice[];
  readonly refused: ReadonlyMap<number, Miss>;
}

/** The factor (power 1) or its inverse (power -1) on an axis of a node's input or output. */
interface Factor {
  readonly end: LinkEnd;
  readonly power: 1 | -1;
  /** Returns the indices along `end` whose factors apply to one index of the stored operand. */
  positions(index: number): readonly number[];
}

interface ScaledOperand {
  readonly value: Value;
  readonly axis: number;
  readonly factor: Factor;
}

/** How scale factors pass through a node. */
interface FactorFlow {
  readonly node: Node;
  readonly links: readonly PowerLink[];
  readonly scaledOperands: readonly ScaledOperand[];
  /** Output axes on which new units start. */
  readonly starts: readonly LinkEnd[];
  /** The axes that factors can reach, as keys of `endKey`. */
  readonly reachableAxes: ReadonlySet<string>;
  readonly reason: string;
}

/** Returns the scale groups of the main graph. */
export function scaleGroups(model: Model, inference: Inference): readonly ScaleGroup[] {
  const flows = [...model.graph.nodes()].map((node) => factorFlowOf(node, inference));
  const starts = flows.flatMap((flow) => flow.starts);
  const labels = new UnitLabels();
  for (const { value, axis } of starts) if (value !== undefined) labels.assignNewUnits(value, axis);
  spread(flows, labels);
  const links = flows.flatMap((flow) => flow.links);
  const { powers, conflicts } = powersOf(links, starts, labels);
  const missesByUnit = new Map<number, Miss>();
  const refuse = (units: Iterable<number>, miss: Miss): void => {
    for (const unit of units)
      if (unit >= 0 && !missesByUnit.has(labels.rootOf(unit))) missesByUnit.set(labels.rootOf(unit), miss);
  };
  for (const axis of conflicts)
    refuse(labels.unitsAt(axis) ?? [], new Miss("it meets its own inverse", axis.value?.name));
  refuseScalesAtEnds(model, flows, labels, refuse);
  const ends = flows.flatMap(({ node, scaledOperands }) =>
    scaledOperands.flatMap((operand) => labelOperand(node, operand, labels, powers, refuse)),
  );
  return unitGroups(starts, labels, ends, missesByUnit).map(({ starts: indices, ...group }) => ({
    ...group,
    starts: indices.flatMap((index) => starts[index] ?? []),
  }));
}

type Refuse = (units: Iterable<number>, miss: Miss) => void;

/** Returns the units along an axis of a stored operand. */
function labelOperand(
  node: Node,
  { value, axis, factor }: ScaledOperand,
  labels: UnitLabels,
  powers: Powers,
  refuse: Refuse,
): readonly (LabeledAxis & { readonly power: 1 | -1 })[] {
  const [units, size] = [labels.unitsAt(factor.end), sizeAlong({ value, axis })];
  if (units === undefined || factor.end.value === undefined) return [];
  if (size === undefined) {
    refuse(units, new Miss("an axis has too many entries", value.name));
    return [];
  }
  const operandUnits = new Int32Array(size).fill(-1);
  for (let index = 0; index < size; index++) {
    const positions = factor.positions(index);
    operandUnits[index] = labels.commonUnit(units, positions);
    if (operandUnits[index] === -1)
      refuse(
        positions.map((position) => units[position] ?? -1),
        new Miss("one weight represents several channels", nodeText(node)),
      );
  }
  const power = powers.get(factor.end.value)?.get(factor.end.axis) ?? 1;
  return [{ value, axis, units: operandUnits, power: power === factor.power ? 1 : -1 }];
}

function refuseScalesAtEnds({ graph }: Model, flows: readonly FactorFlow[], labels: UnitLabels, refuse: Refuse): void {
  const outputs = new Set(graph.outputs);
  const inputs = new Set(graph.feeds);
  for (const { value, units } of labels.labeledAxes()) {
    if (outputs.has(value)) refuse(units, new Miss("it is an output of the model", value.name));
    if (inputs.has(value)) refuse(units, new Miss("it is an input of the model", value.name));
    if (value.tensor !== undefined) refuse(units, new Miss("a stored tensor cannot absorb it", value.name));
    for (const { node } of value.uses)
      if (node.graph !== graph) refuse(units, new Miss("a subgraph reads it", nodeText(node)));
  }
  for (const { node, reachableAxes, links, reason } of flows) {
    for (const end of labeledEnds(node, labels))
      if (!reachableAxes.has(endKey(end))) refuse(labels.unitsAt(end) ?? [], new Miss(reason, nodeText(node)));
    for (const { from, to } of links)
      for (const [end, other] of [
        [from, to],
        [to, from],
      ] as const)
        if (other.value !== undefined && sizeAlong(other) === undefined)
          refuse(labels.unitsAt(end) ?? [], new Miss("it reaches an axis whose size is not known", nodeText(node)));
  }
}

type PortLink = Extract<AxisLink, { readonly from: AxisEnd }>;

const isInput = ([port]: AxisEnd): boolean => port.startsWith("in");
const inputOf = ([port]: AxisEnd): number => Number(port.slice(2));
const isSameEnd = (a: AxisEnd, b: AxisEnd): boolean => a[0] === b[0] && a[1] === b[1];

function factorFlowOf(node: Node, inference: Inference): FactorFlow {
  const flow = { node, links: [], scaledOperands: [], starts: [], reachableAxes: new Set<string>() };
  const bound = inference.at(node);
  if (bound instanceof Miss) return { ...flow, reason: bound.reason };
  const homogeneous = bound.homogeneous();
  if (homogeneous === undefined) return { ...flow, reason: "it does not commute with scale factors" };
  const axes = bound.axes();
  if (axes instanceof Miss) return { ...flow, reason: axes.reason };
  const links = [...axes.links, ...(homogeneous.links ?? [])].flatMap((link) => ("from" in link ? [link] : []));
  const products = homogeneous.products.filter((product) => product.every((input) => node.inputs[input] !== undefined));
  const parts = [...flowsAlongOutputs(node, products, links, inference), ...flowsAlongSums(node, products, links)];
  return {
    node,
    links: [
      ...parts.flatMap((part) => part.links ?? []),
      ...links.filter(({ from, to }) => from[0] === to[0]).map((link) => linkOf(node, link)),
    ],
    scaledOperands: parts.flatMap((part) => part.scaledOperands ?? []),
    starts: parts.flatMap((part) => part.starts ?? []),
    reachableAxes: new Set(parts.flatMap((part) => part.ends.map(endKey))),
    reason: "it requires these values unchanged",
  };
}

type PartialFlow = Partial<Pick<FactorFlow, "links" | "scaledOperands" | "starts">> & {
  readonly ends: readonly LinkEnd[];
};

/** Yields how factors pass along each output axis and the input axes linked to it. */
function* flowsAlongOutputs(
  node: Node,
  products: readonly (readonly number[])[],
  links: readonly PortLink[],
  inference: Inference,
): Generator<PartialFlow, void, undefined> {
  const outputEnds = links.flatMap(({ from, to }) => [from, to].filter((end) => !isInput(end)));
  for (const [index, out] of outputEnds.entries()) {
    if (outputEnds.findIndex((other) => isSameEnd(other, out)) < index) continue;
    const intoOutput = links.filter(({ from, to }) => isInput(from) && isSameEnd(to, out));
    const fromOutput = links.filter(({ from, to }) => isSameEnd(from, out) && isInput(to));
    const linkedAxes = new Set([
      ...intoOutput.map(({ from }) => inputOf(from)),
      ...fromOutput.map(({ to }) => inputOf(to)),
    ]);
    const factorsByInput = new Map<number, readonly Factor[]>();
    const carrierInputs = new Set<number>();
    const end = linkEndOf(node, out);
    const isBlocked = products.some((product) => {
      const operands = product.filter((input) => linkedAxes.has(input));
      const storedInput = operands.find(
        (input) => !factorsByInput.has(input) && adjustableTensor(node, input) !== undefined,
      );
      if (storedInput === undefined) {
        const computed = operands.filter((input) => adjustableTensor(node, input) === undefined);
        const carrier = computed.find((input) => !isInhomogeneous(node.inputs[input], inference)) ?? computed[0];
        if (carrier === undefined || computed.length < operands.length) return true;
        carrierInputs.add(carrier);
        return false;
      }
      const rest = operands.filter((input) => input !== storedInput);
      // A stored operand cannot be rescaled along a part of an axis.
      if ([storedInput, ...rest].some((input) => intoOutput.filter(({ from }) => inputOf(from) === input).length !== 1))
        return true;
      factorsByInput.set(storedInput, remainingFactors(node, end, rest, intoOutput, factorsByInput));
      return false;
    });
    if (isBlocked) continue;
    const flows = [
      ...intoOutput.filter(({ from }) => carrierInputs.has(inputOf(from))),
      ...fromOutput.filter(({ to }) => carrierInputs.has(inputOf(to))),
    ];
    const operands = [...factorsByInput].flatMap(([input, factors]) =>
      scaledOperands(node, input, factors, intoOutput),
    );
    yield {
      links: flows.map((link) => linkOf(node, link)),
      scaledOperands: operands,
      starts: carrierInputs.size === 0 && factorsByInput.size > 0 ? [end] : [],
      ends: [
        end,
        ...operands.map(({ factor }) => factor.end),
        ...flows.flatMap(({ from, to }) => [linkEndOf(node, from), linkEndOf(node, to)]),
      ],
    };
  }
}

/** Returns the factors of a stored operand: the output's factor, divided by the factors of the other operands. */
function remainingFactors(
  node: Node,
  out: LinkEnd,
  rest: readonly number[],
  incomingLinks: readonly PortLink[],
  solvedFactors: ReadonlyMap<number, readonly Factor[]>,
): readonly Factor[] {
  const inverses = rest.flatMap((input): readonly Factor[] => {
    const factors = solvedFactors.get(input);
    if (factors !== undefined) return factors.map((factor) => ({ ...factor, power: factor.power === 1 ? -1 : 1 }));
    const link = incomingLinks.find(({ from }) => inputOf(from) === input);
    return link === undefined || adjustableTensor(node, input) !== undefined
      ? []
      : [{ end: linkEndOf(node, link.from), power: -1, positions: inverseImages(linkOf(node, link)) }];
  });
  const output: Factor = { end: out, power: 1, positions: (position) => [position] };
  const cancelledFactor = inverses.find(
    ({ end, power }) => end.port === out.port && end.axis === out.axis && power === -1,
  );
  return cancelledFactor === undefined
    ? [output, ...inverses]
    : inverses.filter((factor) => factor !== cancelledFactor);
}

function scaledOperands(
  node: Node,
  input: number,
  factors: readonly Factor[],
  incomingLinks: readonly PortLink[],
): readonly ScaledOperand[] {
  const value = adjustableTensor(node, input);
  const link = incomingLinks.find(({ from }) => inputOf(from) === input);
  if (value === undefined || link === undefined) return [];
  const { images } = linkOf(node, link);
  return factors.map((factor) => ({
    value,
    axis: link.from[1],
    factor: {
      ...factor,
      positions: (index) => (images?.[index] ?? [index]).flatMap((position) => factor.positions(position)),
    },
  }));
}

/** Yields how factors pass along each axis that a product of two operands sums over. */
function* flowsAlongSums(
  node: Node,
  products: readonly (readonly number[])[],
  links: readonly PortLink[],
): Generator<PartialFlow, void, undefined> {
  for (const axisLink of links) {
    const { from, to } = axisLink;
    if (!isInput(from) || !isInput(to) || from[0] === to[0]) continue;
    const [a, b] = [inputOf(from), inputOf(to)];
    if (!products.some((product) => product.includes(a) && product.includes(b))) continue;
    const link = linkOf(node, axisLink);
    const [fromTensor, toTensor] = [adjustableTensor(node, a), adjustableTensor(node, b)];
    const positionsOf = (index: number): readonly number[] => link.images?.[index] ?? [index];
    if (toTensor !== undefined)
      yield {
        scaledOperands: [
          { value: toTensor, axis: to[1], factor: { end: link.from, power: -1, positions: inverseImages(link) } },
        ],
        ends: [link.from],
      };
    else if (fromTensor !== undefined)
      yield {
        scaledOperands: [
          { value: fromTensor, axis: from[1], factor: { end: link.to, power: -1, positions: positionsOf } },
        ],
        ends: [link.to],
      };
    else yield { links: [{ ...link, isInverse: true }], ends: [link.from, link.to] };
  }
}

/** Returns the inverse of `link.images`. */
function inverseImages(link: Link): (position: number) => readonly number[] {
  if (!link.hasImages) return (position) => [position];
  let inverse: Map<number, number[]> | undefined;
  return (position) => {
    if (inverse === undefined) {
      inverse = new Map();
      for (const [index, image] of (link.images ?? []).entries())
        for (const target of image) {
          const indices = inverse.get(target);
          if (indices === undefined) inverse.set(target, [index]);
          else indices.push(index);
        }
    }
    return inverse.get(position) ?? [];
  };
}

/** Returns the stored float tensor at an input, unless other nodes read it or its role forbids a change. */
function adjustableTensor(node: Node, input: number): Value | undefined {
  const value = node.inputs[input];
  if (value?.tensor === undefined || !isFloat(value.tensor.type)) return undefined;
  const canChange = value.role === undefined || value.role.kind === "parameter" || value.role.kind === "buffer";
  const hasOneReader = value.uses.size === 1 && value.graph === node.graph;
  return canChange && hasOneReader && !value.graph.isOutput(value) && !value.graph.isInput(value) ? value : undefined;
}

function isInhomogeneous(value: Value | undefined, inference: Inference): boolean {
  return value?.producer === undefined || inference.facet(value.producer, "homogeneous") === undefined;
}

/** A link whose ends have the same factor, or inverse factors (`isInverse`). */
type PowerLink = Link & { readonly isInverse?: true };

/** For each axis of each value, 1 for the factor and -1 for its inverse. */
type Powers = ReadonlyMap<Value, ReadonlyMap<number, 1 | -1>>;

/** Returns the power of each axis, relative to the first start that reaches it. `conflicts` would need both powers. */
function powersOf(
  links: readonly PowerLink[],
  starts: readonly ValueAxis[],
  labels: UnitLabels,
): { readonly powers: Powers; readonly conflicts: readonly ValueAxis[] } {
  const powers = new Map<Value, Map<number, 1 | -1>>();
  const conflicts: ValueAxis[] = [];
  const directedLinks = links.flatMap(({ from, to, isInverse = false }) => [
    { from, to, isInverse },
    { from: to, to: from, isInverse },
  ]);
  const labeledLinks = directedLinks.filter(
    ({ from, to }) => labels.unitsAt(from) !== undefined && labels.unitsAt(to) !== undefined,
  );
  const neighbors = groupBy(labeledLinks, ({ from }) => from.value);
  const pending: ValueAxis[] = [];
  const setPower = ({ value, axis }: ValueAxis, power: 1 | -1): void => {
    if (value === undefined) return;
    const axisPowers = powers.get(value) ?? new Map<number, 1 | -1>();
    powers.set(value, axisPowers);
    const knownPower = axisPowers.get(axis);
    if (knownPower !== undefined && knownPower !== power) conflicts.push({ value, axis });
    if (knownPower !== undefined) return;
    axisPowers.set(axis, power);
    pending.push({ value, axis });
  };
  for (const start of starts) {
    if (start.value === undefined || powers.get(start.value)?.has(start.axis) === true) continue;
    setPower(start, 1);
    for (let end = pending.pop(); end !== undefined; end = pending.pop()) {
      const { value, axis } = end;
      const power = value && powers.get(value)?.get(axis);
      if (value === undefined || power === undefined) continue;
      for (const { from, to, isInverse } of neighbors.get(value) ?? [])
        if (from.axis === axis) setPower(to, isInverse === (power === 1) ? -1 : 1);
    }
  }
  return { powers, conflicts };
}
