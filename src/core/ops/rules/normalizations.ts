/** Normalizations that exporters write as arithmetic, and vectors after a normalization. */
import type { Emit } from "../../graph/emit.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { structure } from "../../graph/pattern.ts";
import { fixedDims, sameDims } from "../../tensor/dims.ts";
import { readAttributeOrInput, readFlag, wrapAxis } from "../shared/attributes.ts";
import { isConstant } from "../shared/rules.ts";
import { elementOf } from "./constants.ts";
import type { Pair, Structure, StructureScope } from "./rule.ts";

type Operands<Name extends string> = Readonly<Record<Name, Value>>;

const quotients = [
  (emit: Emit, value: Value, root: Value) => emit.Div([value, root]),
  (emit: Emit, value: Value, root: Value) => emit.Mul([value, emit.Reciprocal([root])]),
];

/** Returns the normalized axes' length if a ReduceMean covers the last axes and keeps them. */
function lastAxes({ site }: StructureScope, reduce: Node): number | undefined {
  const facts = site(reduce);
  const rank = facts.inputs[0]?.dims?.length;
  const axes = readAttributeOrInput(facts, "axes", 1);
  if (rank === undefined || axes === undefined || axes === "runtime" || !readFlag(facts, "keepdims", true))
    return undefined;
  const sorted = axes.known.map((axis) => wrapAxis(axis, rank)).sort((a, b) => a - b);
  const isLast = sorted.length > 0 && sorted.every((axis, index) => axis === rank - sorted.length + index);
  return isLast ? sorted.length : undefined;
}

/** Returns whether a scale has exactly the last `count` dimensions of x, and both are float32 or float64. */
function fitsScale({ operand }: StructureScope, x: Value, scale: Value, count: number): boolean {
  const [data, factors] = [operand(x), operand(scale)];
  const dims = fixedDims(factors?.dims);
  if (data?.dims === undefined || dims === undefined || data.type !== factors?.type) return false;
  if (data.type !== "float32" && data.type !== "float64") return false;
  return dims.length === count && sameDims(dims, data.dims.slice(-count));
}

type LayerOperand = "x" | "exponent" | "epsilon" | "scale";

const findLayerNormalization = structure(
  ["x", "epsilon", "scale"],
  ...quotients.map((quotient) => (emit: Emit, { x, epsilon, scale }: Operands<"x" | "epsilon" | "scale">) => {
    const mean = emit.ReduceMean([x]);
    const deviation = emit.Sub([x, mean]);
    const variance = emit.ReduceMean([emit.Mul([deviation, deviation])]);
    const root = emit.Sqrt([emit.Add([variance, epsilon])]);
    return { last: emit.Mul([quotient(emit, deviation, root), scale]), parts: { mean, variance } };
  }),
);

const findLayerNormalizationPow = structure(
  ["x", "exponent", "epsilon", "scale"],
  ...quotients.map((quotient) => (emit: Emit, { x, exponent, epsilon, scale }: Operands<LayerOperand>) => {
    const mean = emit.ReduceMean([x]);
    const deviation = emit.Sub([x, mean]);
    const variance = emit.ReduceMean([emit.Pow([deviation, exponent])]);
    const root = emit.Sqrt([emit.Add([variance, epsilon])]);
    return { last: emit.Mul([quotient(emit, deviation, root), scale]), parts: { mean, variance } };
  }),
);

/** y = (x − mean) / √(mean of (x − mean)² + ε) · scale over the last axes (Ba et al. 2016); an operator since opset 17. */
const layerNormalization: Structure = {
  id: "layer-normalization",
  description: "the arithmetic of LayerNormalization becomes one operator",
  last: ["Mul"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand, match, emit } = scope;
    if (site(last).version < 17) return undefined;
    const power = match(findLayerNormalizationPow);
    if (power !== undefined && !isConstant(operand(power.operands.exponent), 2)) return undefined;
    const matched = power ?? match(findLayerNormalization);
    if (matched === undefined) return undefined;
    const { x, epsilon, scale } = matched.operands;
    const [count, ofVariance] = [lastAxes(scope, matched.parts.mean), lastAxes(scope, matched.parts.variance)];
    const added = elementOf(operand(epsilon));
    if (count === undefined || count !== ofVariance || added === undefined || added < 0) return undefined;
    if (!fitsScale(scope, x, scale, count)) return undefined;
    const write = emit.named(last.outputs[0]?.name ?? "normalized");
    return { value: write.LayerNormalization([x, scale], { axis: -count, epsilon: added }) };
  },
};

const findRms = structure(
  ["x", "epsilon", "scale"],
  ...quotients.map((quotient) => (emit: Emit, { x, epsilon, scale }: Operands<"x" | "epsilon" | "scale">) => {
    const mean = emit.ReduceMean([emit.Mul([x, x])]);
    const root = emit.Sqrt([emit.Add([mean, epsilon])]);
    return { last: emit.Mul([quotient(emit, x, root), scale]), parts: { mean } };
  }),
);

const findRmsPow = structure(
  ["x", "exponent", "epsilon", "scale"],
  ...quotients.map((quotient) => (emit: Emit, { x, exponent, epsilon, scale }: Operands<LayerOperand>) => {
    const mean = emit.ReduceMean([emit.Pow([x, exponent])]);
    const root = emit.Sqrt([emit.Add([mean, epsilon])]);
    return { last: emit.Mul([quotient(emit, x, root), scale]), parts: { mean } };
  }),
);

/** y = x / √(mean of x² + ε) · scale over the last axes (Zhang and Sennrich 2019); an operator since opset 23. */
const rmsNormalization: Structure = {
  id: "rms-normalization",
  description: "the arithmetic of RMSNormalization becomes one operator",
  last: ["Mul"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand, match, emit } = scope;
    if (site(last).version < 23) return undefined;
    const power = match(findRmsPow);
    if (power !== undefined && !isConstant(operand(power.operands.exponent), 2)) return undefined;
    const matched = power ?? match(findRms);
    if (matched === undefined) return undefined;
    const { x, epsilon, scale } = matched.operands;
    const count = lastAxes(scope, matched.parts.mean);
    const added = elementOf(operand(epsilon));
    if (count === undefined || added === undefined || added < 0 || !fitsScale(scope, x, scale, count)) return undefined;
    const write = emit.named(last.outputs[0]?.name ?? "normalized");
    return { value: write.RMSNormalization([x, scale], { axis: -count, epsilon: added }) };
  },
};

/** The bias of LayerNormalization is optional. */
const normalizationBias: Pair = {
  id: "normalization-bias",
  description: "a vector after LayerNormalization becomes its bias",
  first: ["LayerNormalization"],
  second: ["Add"],
  fuse({ first, second, firstSite, secondSite, input, isOnlyReader, emit }) {
    const [x, scale, bias] = first.inputs;
    const added = second.inputs[1 - input];
    const [scaleDims, addedDims] = [firstSite.inputs[1]?.dims, secondSite.inputs[1 - input]?.dims];
    if (!isOnlyReader || x === undefined || scale === undefined || bias !== undefined || added === undefined)
      return undefined;
    if (scaleDims === undefined || addedDims === undefined || !sameDims(scaleDims, addedDims)) return undefined;
    if (first.outputs.slice(1).some((output) => output !== undefined) || !scaleDims.every(isNumber)) return undefined;
    const write = emit.named(second.outputs[0]?.name ?? "normalized");
    const value = write.LayerNormalization([x, scale, added]);
    const { producer } = value;
    if (producer === undefined) return undefined;
    for (const [name, attribute] of first.attributes) producer.graph.setAttribute(producer, name, attribute);
    producer.name = first.name;
    return { value };
  },
};

const isNumber = (dim: unknown): dim is number => typeof dim === "number";

export const normalizationStructures: readonly Structure[] = [layerNormalization, rmsNormalization];
export const normalizationPairs: readonly Pair[] = [normalizationBias];
