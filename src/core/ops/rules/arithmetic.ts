/** Merges two consecutive products with stored numbers: (x · a) / b = x · (a / b). The factor is rounded once, from float64. */
import { isFloat, type Node, type Value } from "#graph";
import type { Site } from "../define.ts";
import { combineNumbers, isModerate, keepsSize, type Numbers, numbersOf, roundNumbers } from "./constants.ts";
import { emitNamed, type PairRule } from "./rule.ts";

interface Product {
  readonly data: number;
  readonly constant: Value | undefined;
  readonly factors: Numbers;
}

/** Before opset 7, attributes control broadcasting. */
function productOf({ op, inputs }: Node, site: Site): Product | undefined {
  if (op === "Neg") return { data: 0, constant: undefined, factors: { dims: [], values: Float64Array.of(-1) } };
  const data = site.inputs.findIndex((operand) => operand?.stored === false);
  const numbers = numbersOf(site.inputs[1 - data]);
  if (data < 0 || numbers === undefined || site.version < 7 || site.inputs[0]?.type !== site.inputs[1]?.type)
    return undefined;
  // float64 does not represent larger integers.
  if (!isFloat(site.inputs[data]?.type ?? "string") && !numbers.values.every(Number.isSafeInteger)) return undefined;
  if (op === "Div" && data === 1) return undefined;
  const factors = op === "Div" ? { ...numbers, values: numbers.values.map((number) => 1 / number) } : numbers;
  return { data, constant: inputs[1 - data], factors };
}

const factors: PairRule = {
  id: "stored-factors",
  description: "two products or quotients with stored numbers are one product",
  first: ["Mul", "Div", "Neg"],
  second: ["Mul", "Div", "Neg"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, isOnlyReader, canChange, emit } = scope;
    const [inner, outer] = [productOf(first, firstSite), productOf(second, secondSite)];
    if (!isOnlyReader || inner === undefined || outer === undefined || outer.data !== scope.input) return undefined;
    const constants = [inner.constant, outer.constant];
    const x = first.inputs[inner.data];
    const type = firstSite.inputs[inner.data]?.type;
    if (x === undefined || type === undefined) return undefined;
    if (constants.every((value) => value === undefined)) return undefined;
    if (constants.some((value) => value !== undefined && !canChange(value))) return undefined;
    // Integer division rounds.
    if (!isFloat(type) && (first.op === "Div" || second.op === "Div")) return undefined;
    const isSafe = ({ factors }: Product): boolean =>
      !isFloat(type) || factors.values.every((factor) => isModerate(factor, type));
    if (!isSafe(inner) || !isSafe(outer)) return undefined;
    const mergedFactors = combineNumbers(inner.factors, outer.factors, (a, b) => a * b);
    const dense = mergedFactors && roundNumbers(mergedFactors, type);
    if (mergedFactors === undefined || dense === undefined || !keepsSize([mergedFactors], constants)) return undefined;
    const constant = emit.constant(dense, (outer.constant ?? inner.constant)?.name);
    return { value: emitNamed(scope).Mul([x, constant]) };
  },
};

export const arithmeticPairs: readonly PairRule[] = [factors];
