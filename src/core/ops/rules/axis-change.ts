/**
 * Returns how to change a node so that it computes with permuted axes: if it reads x' = Transpose(x) {perm} instead of x, it outputs y' = Transpose(y)
 * {perm}. Elementwise operators do not change. In other operators, an attribute `axis`, or a list with one entry per axis, changes.
 */
import type { Attribute, Node } from "#graph";
import type { Site } from "../define.ts";
import { entryOf } from "../index.ts";
import {
  constantIntegersOf,
  readAttributeOrInput,
  readFlag,
  readInteger,
  readIntegers,
  wrapAxis,
} from "../shared/attributes.ts";
import { invertPermutation, range } from "../shared/rules.ts";
import { ints } from "./rule.ts";

export interface AxisChange {
  /** The inputs whose axes are permuted. */
  readonly operands: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** For each input that is a list of stored integers: the new integers. */
  readonly lists?: Readonly<Record<number, readonly number[]>>;
}

/** Elementwise operators whose definitions do not state `byElement`. */
const elementwise = new Set(["Where", "Clip", "Max", "Min", "Sum", "Mean", "Cast"]);

/** Returns whether an operator computes element by element, with NumPy's broadcasting. */
export function isElementwise(node: Node, { version }: Site): boolean {
  if (node.domain !== "") return entryOf(node)?.byElement === true && node.inputs.length === 1;
  // Max, Min, Sum and Mean broadcast since opset 8.
  return version >= 8 && (entryOf(node)?.byElement === true || elementwise.has(node.op));
}

const axisDefaults: Readonly<Record<string, number>> = {
  Softmax: -1,
  LogSoftmax: -1,
  Hardmax: -1,
  LpNormalization: -1,
  ArgMax: 0,
  ArgMin: 0,
  Concat: 1,
  Split: 0,
};

type Rule = (node: Node, site: Site, rank: number, perm: readonly number[]) => AxisChange | undefined;

const moveAxes = (axes: readonly number[], rank: number, perm: readonly number[]): readonly number[] => {
  const positions = invertPermutation(perm);
  return axes.map((axis) => positions[wrapAxis(axis, rank)] ?? 0);
};

const changeAxis: Rule = (node, site, rank, perm) => {
  const { op } = node;
  if (site.version < 13 && ["Softmax", "LogSoftmax", "Hardmax"].includes(op)) return undefined;
  if (op.startsWith("Arg") && !readFlag(site, "keepdims", true)) return undefined;
  const [value = 0] = moveAxes([readInteger(site, "axis", axisDefaults[op] ?? 0)], rank, perm);
  const operands = op === "Concat" ? range(node.inputs.length) : [0];
  return { operands, attributes: { axis: { kind: "int", value } } };
};

const changeReduction: Rule = (_, site, rank, perm) => {
  if (!readFlag(site, "keepdims", true)) return undefined;
  const axes = readAttributeOrInput(site, "axes", 1);
  // A node that names no axes reduces all axes or none, so it does not change.
  if (axes === undefined) return { operands: [0] };
  if (axes === "runtime" || axes.known.length === 0) return undefined;
  const movedAxes = [...moveAxes(axes.known, rank, perm)].sort((a, b) => a - b);
  return site.inputs[1] === undefined
    ? { operands: [0], attributes: { axes: ints(movedAxes) } }
    : { operands: [0], lists: { 1: movedAxes } };
};

const changeQuantization: Rule = (_, site, rank, perm) => {
  const scale = site.inputs[1]?.dims;
  const zeroPoint = site.inputs[2]?.dims ?? scale;
  if (scale === undefined || zeroPoint?.length !== scale.length || readInteger(site, "block_size", 0) !== 0)
    return undefined;
  if (scale.length === 0) return { operands: [0] };
  if (scale.length > 1 || site.version < 13) return undefined;
  const [value = 0] = moveAxes([readInteger(site, "axis", 1)], rank, perm);
  return { operands: [0], attributes: { axis: { kind: "int", value } } };
};

const changeSlice: Rule = (_, site, rank, perm) => {
  const starts = constantIntegersOf(site.inputs[1]);
  const axes = site.inputs[3] === undefined ? starts && range(starts.length) : constantIntegersOf(site.inputs[3]);
  if (site.version < 10 || axes === undefined) return undefined;
  return { operands: [0], lists: { 3: moveAxes(axes, rank, perm) } };
};

const changePad: Rule = (_, site, rank, perm) => {
  const pads = site.version < 11 ? readIntegers(site, "pads") : constantIntegersOf(site.inputs[1]);
  if (pads?.length !== 2 * rank || site.inputs[3] !== undefined) return undefined;
  const movedPads = [0, rank].flatMap((side) => perm.map((axis) => pads[side + axis] ?? 0));
  return site.version < 11
    ? { operands: [0], attributes: { pads: ints(movedPads) } }
    : { operands: [0], lists: { 1: movedPads } };
};

const rules: Readonly<Record<string, Rule>> = {
  QuantizeLinear: changeQuantization,
  DequantizeLinear: changeQuantization,
  Slice: changeSlice,
  Pad: changePad,
};

/** Returns the change of a node with outputs of the given rank; undefined if no change makes the node compute with permuted axes. */
export function changeForPermutation(
  node: Node,
  site: Site,
  rank: number,
  perm: readonly number[],
): AxisChange | undefined {
  if (isElementwise(node, site)) return { operands: range(node.inputs.length) };
  if (node.domain !== "") return undefined;
  const rule = node.op.startsWith("Reduce") ? changeReduction : node.op in axisDefaults ? changeAxis : rules[node.op];
  return rule?.(node, site, rank, perm);
}

/** Returns the change with which a node can read reshaped operands; undefined if its result depends on more than the storage order. */
export function changeForReshape(node: Node, site: Site): AxisChange | undefined {
  if (isElementwise(node, site)) return { operands: range(node.inputs.length) };
  const isScaled = node.domain === "" && rules[node.op] === changeQuantization && site.inputs[1]?.dims?.length === 0;
  return isScaled && readInteger(site, "block_size", 0) === 0 ? { operands: [0] } : undefined;
}
