/** Removes a node that repeats an operand if broadcasting repeats it anyway. */
import { type Dense, type Dim, type Emit, Miss, type Node, sameDims, type Use, type Value } from "#graph";
import { broadcast, scalar } from "../shared/shapes.ts";
import { dimsOf, type PairRule, type PairScope } from "./rule.ts";

const broadcasting = [
  ...["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where", "And", "Or", "Xor"],
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"],
];

/** Returns the value that a node repeats; for ConstantOfShape, a new scalar. */
function repeatedValueOf(emit: Emit, { op, inputs, attributes }: Node): Value | undefined {
  if (op !== "ConstantOfShape") return inputs[0];
  const fill = attributes.get("value");
  if (fill === undefined) return scalar(emit, "float32", 0);
  const small = fill.kind === "tensor" ? fill.value.small : undefined;
  if (small === undefined) return undefined;
  const dense: Dense = { ...small, dims: [] };
  return emit.constant(dense, "fill");
}

/** Returns whether a node only repeats axes of length 1, as broadcasting does. */
function repeatsUnits(dims: readonly Dim[], repeatedDims: readonly Dim[]): boolean {
  const addedAxes = repeatedDims.length - dims.length;
  return addedAxes >= 0 && dims.every((dim, axis) => dim === 1 || dim === repeatedDims[addedAxes + axis]);
}

/** Returns whether a node has the same output dimensions if its operand has the dimensions `dims`. */
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

const repeatedOperand: PairRule = {
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
    if (repeated.uses.size > maxReaders || ![...repeated.uses].every((use) => broadcastsTo(scope, use, dims)))
      return undefined;
    const value = repeatedValueOf(emit, first);
    return value && { inputs: second.inputs.with(input, value) };
  },
};

const maxReaders = 16;

export const operandPairs: readonly PairRule[] = [repeatedOperand];
