/** Rules that replace the arithmetic of normalizations by one operator, and that merge an Add into a normalization. */
import { type Emit, fixedDims, type Match, type Node, sameDims, structureMatcher, type Value } from "#graph";
import { readAttributeOrInput, readFlag, wrapAxis } from "../shared/attributes.ts";
import { isConstant } from "../shared/shapes.ts";
import { elementOf } from "./constants.ts";
import { emitNamed, inheritFrom, type PairRule, type StructureRule, type StructureScope } from "./rule.ts";

const squares = [
  (emit: Emit, value: Value, any: () => Value) => emit.Pow([value, any()]),
  (emit: Emit, value: Value) => emit.Mul([value, value]),
];

const quotients = [
  (emit: Emit, value: Value, root: Value) => emit.Div([value, root]),
  (emit: Emit, value: Value, root: Value) => emit.Mul([value, emit.Reciprocal([root])]),
  // `readMatch` checks that the numerator is 1.
  (emit: Emit, value: Value, root: Value, any: () => Value) => emit.Mul([value, emit.Div([any(), root])]),
];

/** Creates the pattern d / √(mean of d² + ε) · scale. `center` writes d, computed from x, and perhaps a mean. */
const normalizationPattern = (center: (emit: Emit, x: Value) => { readonly d: Value; readonly mean?: Value }) =>
  structureMatcher<"x" | "epsilon" | "scale", "square" | "variance" | "mean">(
    ["x", "epsilon", "scale"],
    ...squares.flatMap((writeSquare) =>
      quotients.map((quotient) => (emit: Emit, { x, epsilon, scale }: Operands, any: () => Value) => {
        const { d, mean } = center(emit, x);
        const square = writeSquare(emit, d, any);
        const variance = emit.ReduceMean([square]);
        const root = emit.Sqrt([emit.Add([variance, epsilon])]);
        const last = emit.Mul([quotient(emit, d, root, any), scale]);
        return { last, parts: { square, variance, mean: mean ?? variance } };
      }),
    ),
  );

type Operands = Readonly<Record<"x" | "epsilon" | "scale", Value>>;

const findLayerNormalization = normalizationPattern((emit, x) => {
  const mean = emit.ReduceMean([x]);
  return { d: emit.Sub([x, mean]), mean };
});

const findRmsNormalization = normalizationPattern((_, x) => ({ d: x }));

/** Returns how many last axes a ReduceMean reduces; undefined if it reduces others, or removes them. */
function countLastAxes({ site }: StructureScope, reduce: Node): number | undefined {
  const reduceSite = site(reduce);
  const rank = reduceSite.inputs[0]?.dims?.length;
  const axes = readAttributeOrInput(reduceSite, "axes", 1);
  if (rank === undefined || axes === undefined || axes === "runtime" || !readFlag(reduceSite, "keepdims", true))
    return undefined;
  const sortedAxes = axes.known.map((axis) => wrapAxis(axis, rank)).sort((a, b) => a - b);
  const isLast = sortedAxes.length > 0 && sortedAxes.every((axis, index) => axis === rank - sortedAxes.length + index);
  return isLast ? sortedAxes.length : undefined;
}

/** Returns whether a scale has the last `count` dimensions of x, and both are float32 or float64. */
function fitsScale({ operand }: StructureScope, x: Value, scale: Value, count: number): boolean {
  const [data, factors] = [operand(x), operand(scale)];
  const dims = fixedDims(factors?.dims);
  if (data?.dims === undefined || dims === undefined || data.type !== factors?.type) return false;
  if (data.type !== "float32" && data.type !== "float64") return false;
  return dims.length === count && sameDims(dims, data.dims.slice(-count));
}

function readMatch(
  scope: StructureScope,
  { operands: { x, epsilon, scale }, parts, nodes }: Match<keyof Operands, "square" | "variance" | "mean">,
) {
  const { operand } = scope;
  const { square, variance, mean } = parts;
  const isDeviation = (value: Value | undefined): boolean => value === square.inputs[0];
  for (const { op, inputs } of nodes)
    if (op === "Div" && !isDeviation(inputs[0]) && !isConstant(inputs[0] && operand(inputs[0]), 1)) return undefined;
  const [, exponent] = square.inputs;
  if (square.op === "Pow" && (exponent === undefined || !isConstant(operand(exponent), 2))) return undefined;
  const [count, meanCount] = [variance, mean].map((node) => countLastAxes(scope, node));
  const epsilonNumber = elementOf(operand(epsilon));
  if (count === undefined || meanCount !== count) return undefined;
  if (epsilonNumber === undefined || epsilonNumber < 0 || !fitsScale(scope, x, scale, count)) return undefined;
  return { x, scale, count, epsilon: epsilonNumber };
}

/** @param since The opset that defines the operator. */
function defineNormalizationRule(
  op: "LayerNormalization" | "RMSNormalization",
  id: string,
  since: number,
  find: typeof findRmsNormalization,
): StructureRule {
  return {
    id,
    description: `the arithmetic of ${op} becomes one operator`,
    last: ["Mul"],
    reorders: true,
    fuse(scope) {
      const matchResult = scope.site(scope.last).version < since ? undefined : scope.match(find);
      const facts = matchResult && readMatch(scope, matchResult);
      if (facts === undefined) return undefined;
      const { x, scale, count, epsilon } = facts;
      return { value: emitNamed(scope)[op]([x, scale], { axis: -count, epsilon }) };
    },
  };
}

export const normalizationStructures: readonly StructureRule[] = [
  // y = (x − mean) / √(mean of (x − mean)² + ε) · scale over the last axes (Ba et al. 2016)
  defineNormalizationRule("LayerNormalization", "layer-normalization", 17, findLayerNormalization),
  // y = x / √(mean of x² + ε) · scale over the last axes (Zhang and Sennrich 2019)
  defineNormalizationRule("RMSNormalization", "rms-normalization", 23, findRmsNormalization),
];

const normalizationBias: PairRule = {
  id: "normalization-bias",
  description: "a vector after LayerNormalization becomes its bias",
  first: ["LayerNormalization"],
  second: ["Add"],
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader } = scope;
    const [x, scale, bias] = first.inputs;
    const addend = second.inputs[1 - input];
    const [scaleDims, addedDims] = [firstSite.inputs[1]?.dims, secondSite.inputs[1 - input]?.dims];
    if (!isOnlyReader || x === undefined || scale === undefined || bias !== undefined || addend === undefined)
      return undefined;
    if (scaleDims === undefined || addedDims === undefined || !sameDims(scaleDims, addedDims)) return undefined;
    if (first.outputs.slice(1).some((output) => output !== undefined) || fixedDims(scaleDims) === undefined)
      return undefined;
    return inheritFrom(emitNamed(scope).LayerNormalization([x, scale, addend]), first);
  },
};

export const normalizationPairs: readonly PairRule[] = [normalizationBias];
