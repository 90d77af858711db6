/** Rules that remove a node that repeats an operand if broadcasting repeats it anyway, and that merge two consecutive Pad nodes. */
import { type Dense, type Dim, type Emit, Miss, type Node, sameDims, type Use, type Value } from "#graph";
import type { Site } from "../define.ts";
import { constantIntegersOf, readAttributeOrInput, readString, wrapAxis } from "../shared/attributes.ts";
import { broadcast, integersConstant, scalar } from "../shared/rules.ts";
import { fillerOf } from "./layout.ts";
import { dimsOf, ints, type Pair, type PairScope } from "./rule.ts";

const broadcasting = [
  ...["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where", "And", "Or", "Xor"],
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"],
];

/** Returns the value that a node repeats; for ConstantOfShape, a new scalar constant. */
function repeatedValue(emit: Emit, { op, inputs, attributes }: Node): Value | undefined {
  if (op !== "ConstantOfShape") return inputs[0];
  const fill = attributes.get("value");
  if (fill === undefined) return scalar(emit, "float32", 0);
  const small = fill.kind === "tensor" ? fill.value.small : undefined;
  if (small === undefined) return undefined;
  const dense: Dense = { ...small, dims: [] };
  return emit.constant(dense, "fill");
}

/** Returns whether a node only repeats axes of length 1, as broadcasting does. */
function repeatsUnits(dims: readonly Dim[], repeated: readonly Dim[]): boolean {
  const addedAxes = repeated.length - dims.length;
  return addedAxes >= 0 && dims.every((dim, axis) => dim === 1 || dim === repeated[addedAxes + axis]);
}

/** Returns whether a node has the same output dimensions if its operand `input` has the dimensions `dims`. */
function broadcastsTo({ site, operand }: PairScope, { node, input }: Use, dims: readonly Dim[]): boolean {
  const [output] = node.outputs;
  const out = output && operand(output)?.dims;
  const { version, inputs } = site(node);
  // Max, Min, Sum and Mean broadcast since opset 8.
  if (node.domain !== "" || !broadcasting.includes(node.op) || version < 8 || out === undefined) return false;
  const otherDims = inputs.flatMap((other, index) => (index === input ? [] : [other?.dims]));
  if (!otherDims.every((other) => other !== undefined)) return false;
  const shape = broadcast(...otherDims, dims);
  return !(shape instanceof Miss) && sameDims(shape, out);
}

const repeatedOperand: Pair = {
  id: "repeated-operand",
  description: "an operand broadcasts instead of being repeated",
  first: ["Expand", "Tile", "ConstantOfShape"],
  second: broadcasting,
  fuse(scope) {
    const { first, second, input, emit } = scope;
    const [repeated] = first.outputs;
    const repeatedDims = dimsOf(scope, repeated);
    if (repeated === undefined || repeatedDims === undefined || repeated.graph.isOutput(repeated)) return undefined;
    const dims = first.op === "ConstantOfShape" ? [] : dimsOf(scope, first.inputs[0]);
    if (dims === undefined || !repeatsUnits(dims, repeatedDims)) return undefined;
    // The node can be removed only if no reader needs the repeated elements.
    if (repeated.uses.size > maxReaders || ![...repeated.uses].every((use) => broadcastsTo(scope, use, dims)))
      return undefined;
    const value = repeatedValue(emit, first);
    return value && { inputs: second.inputs.with(input, value) };
  },
};

const maxReaders = 16;

/** Returns the pads before each axis, then the pads after each axis; undefined if they are computed at run time. */
function padsOf(site: Site): readonly number[] | undefined {
  const rank = site.inputs[0]?.dims?.length;
  const pads = readAttributeOrInput(site, "pads", 1);
  const axes = site.inputs[3] === undefined ? undefined : constantIntegersOf(site.inputs[3]);
  if (rank === undefined || pads === undefined || pads === "runtime") return undefined;
  if (site.inputs[3] === undefined) return pads.known.length === 2 * rank ? pads.known : undefined;
  if (axes === undefined || pads.known.length !== 2 * axes.length) return undefined;
  const allPads = new Array<number>(2 * rank).fill(0);
  for (const [index, axis] of axes.entries()) {
    const position = wrapAxis(axis, rank);
    allPads[position] = pads.known[index] ?? 0;
    allPads[rank + position] = pads.known[axes.length + index] ?? 0;
  }
  return allPads;
}

const twoPads: Pair = {
  id: "padded-twice",
  description: "two pads with the same value are one",
  first: ["Pad"],
  second: ["Pad"],
  fuse({ first, second, firstSite, secondSite, input, isOnlyReader, emit }) {
    const [inner, outer] = [padsOf(firstSite), padsOf(secondSite)];
    const [mode, outerMode] = [firstSite, secondSite].map((site) => readString(site, "mode", "constant"));
    if (!isOnlyReader || input !== 0 || inner === undefined || outer === undefined || mode !== outerMode)
      return undefined;
    // A negative pad removes elements, possibly elements that the other Pad adds.
    if ([...inner, ...outer].some((pad) => pad < 0)) return undefined;
    if (mode === "constant") {
      const [filler, outerFiller] = [fillerOf(firstSite), fillerOf(secondSite)];
      if (filler === undefined || !Object.is(filler, outerFiller)) return undefined;
    } else if (mode !== "edge") return undefined;
    const pads = inner.map((pad, index) => pad + (outer[index] ?? 0));
    const [x] = first.inputs;
    if (secondSite.version < 11) return { inputs: [x], attributes: { pads: ints(pads) } };
    const padsValue = integersConstant(emit, pads, `${second.outputs[0]?.name}_pads`);
    return { inputs: [x, padsValue, second.inputs[2]] };
  },
};

export const operandPairs: readonly Pair[] = [repeatedOperand, twoPads];
