/**
 * Rules that merge two consecutive sums, or products, with stored numbers:
 *     (x + a) - b = x + (a - b)     a - (x - b) = (a + b) - x     (x · a) / b = x · (a / b)     -(x · a) = x · -a
 * The new constant is computed in float64 and rounded once.
 */
import { type DataType, isFloat, type Node, type Value } from "#graph";
import type { Site } from "../define.ts";
import {
  combineNumbers,
  isModerate,
  keepsSize,
  largestOf,
  maxCancellation,
  maxMagnitude,
  type Numbers,
  numbersOf,
  roundNumbers,
} from "./constants.ts";
import { emitNamed, type Pair, type PairScope } from "./rule.ts";

/** A node that computes y = scale(c) · x + shift(c), where c is a stored number. */
export interface Linear {
  readonly data: number;
  readonly constant: Value | undefined;
  readonly numbers: Numbers;
  scale(c: number): number;
  shift(c: number): number;
}

const unitNumbers: Numbers = { dims: [], values: Float64Array.of(1) };

type Form = Pick<Linear, "scale" | "shift">;

const sum: Form = { scale: () => 1, shift: (c) => c };
const product: Form = { scale: (c) => c, shift: () => 0 };

/** For each operator: the form if the second operand is the constant, and the form if the first operand is the constant. */
const forms: Readonly<Record<string, readonly [second: Form, first?: Form]>> = {
  Add: [sum, sum],
  Sub: [
    { scale: () => 1, shift: (c) => -c },
    { scale: () => -1, shift: (c) => c },
  ],
  Mul: [product, product],
  Div: [{ scale: (c) => 1 / c, shift: () => 0 }],
};

const negation: Form = { scale: () => -1, shift: () => 0 };

/** Reads a node as a linear function of its only input that is not stored. Before opset 7, attributes control broadcasting. */
export function linearOf({ op, inputs }: Node, site: Site): Linear | undefined {
  if (op === "Neg") return { data: 0, constant: undefined, numbers: unitNumbers, ...negation };
  const data = site.inputs.findIndex((operand) => operand?.stored === false);
  const numbers = numbersOf(site.inputs[1 - data]);
  const form = forms[op]?.[data];
  if (data < 0 || numbers === undefined || form === undefined || site.version < 7) return undefined;
  if (site.inputs[0]?.type !== site.inputs[1]?.type) return undefined;
  return { data, constant: inputs[1 - data], numbers, ...form };
}

interface Chain {
  readonly x: Value;
  readonly type: DataType;
  readonly inner: Linear;
  readonly outer: Linear;
}

function chainOf(scope: PairScope): Chain | undefined {
  const { first, second, firstSite, secondSite, isOnlyReader, canChange } = scope;
  const [inner, outer] = [linearOf(first, firstSite), linearOf(second, secondSite)];
  if (!isOnlyReader || inner === undefined || outer === undefined || outer.data !== scope.input) return undefined;
  const x = first.inputs[inner.data];
  const type = firstSite.inputs[inner.data]?.type;
  if (x === undefined || type === undefined) return undefined;
  // float64 does not represent larger integers.
  const isExact = ({ numbers }: Linear): boolean => isFloat(type) || numbers.values.every(Number.isSafeInteger);
  if (!isExact(inner) || !isExact(outer)) return undefined;
  if ([inner.constant, outer.constant].some((value) => value !== undefined && !canChange(value))) return undefined;
  return { x, type, inner, outer };
}

/** Stores the constant that replaces both constants. Undefined if the type cannot represent the numbers, or if the file would become larger. */
function storeConstant({ emit }: PairScope, merged: Numbers, { type, inner, outer }: Chain): Value | undefined {
  const dense = roundNumbers(merged, type);
  if (dense === undefined || !keepsSize([merged], [inner.constant, outer.constant])) return undefined;
  return emit.constant(dense, (outer.constant ?? inner.constant)?.name);
}

const factors: Pair = {
  id: "stored-factors",
  description: "two products or quotients with stored numbers are one product",
  first: ["Mul", "Div", "Neg"],
  second: ["Mul", "Div", "Neg"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const chain = chainOf(scope);
    if (chain === undefined || (scope.first.op === "Neg" && scope.second.op === "Neg")) return undefined;
    const { x, type, inner, outer } = chain;
    // Integer division rounds.
    if (!isFloat(type) && (scope.first.op === "Div" || scope.second.op === "Div")) return undefined;
    const isSafe = ({ numbers, scale }: Linear): boolean =>
      !isFloat(type) || numbers.values.every((number) => isModerate(scale(number), type));
    if (!isSafe(inner) || !isSafe(outer)) return undefined;
    const merged = combineNumbers(inner.numbers, outer.numbers, (a, b) => inner.scale(a) * outer.scale(b));
    const constant = merged && storeConstant(scope, merged, chain);
    return constant && { value: emitNamed(scope).Mul([x, constant]) };
  },
};

const terms: Pair = {
  id: "stored-terms",
  description: "two sums or differences with stored numbers are one",
  first: ["Add", "Sub", "Neg"],
  second: ["Add", "Sub", "Neg"],
  reorders: true,
  mergesParameters: true,
  fuse(scope) {
    const chain = chainOf(scope);
    if (chain === undefined || (scope.first.op === "Neg" && scope.second.op === "Neg")) return undefined;
    const { x, type, inner, outer } = chain;
    const merged = combineNumbers(
      inner.numbers,
      outer.numbers,
      (a, b) => outer.scale(b) * inner.shift(a) + outer.shift(b),
    );
    if (merged === undefined) return undefined;
    if (isFloat(type)) {
      const largest = Math.max(...[inner, outer].map((part) => (part.constant ? largestOf(part.numbers) : 0)));
      if (largest > maxCancellation * largestOf(merged) || largest > maxMagnitude(type)) return undefined;
    }
    const constant = storeConstant(scope, merged, chain);
    if (constant === undefined) return undefined;
    const write = emitNamed(scope);
    return { value: inner.scale(1) * outer.scale(1) > 0 ? write.Add([x, constant]) : write.Sub([constant, x]) };
  },
};

export const arithmeticPairs: readonly Pair[] = [factors, terms];
