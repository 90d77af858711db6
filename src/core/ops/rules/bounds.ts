/**
 * Merges two consecutive operators that limit values, each y = min(max(x, low), high):
 *     Relu: [0, ∞)     Max(x, c): [c, ∞)     Min(x, c): (-∞, c]     Clip: [min, max], by default the range of finite numbers
 * Limits [a, b] and then [c, d] are the limits [clip(a, c, d), clip(b, c, d)], because limiting is monotonic. NaN passes through all four in
 * ONNX Runtime. A zero can lose its sign.
 */
import { type DataType, isFloat, type Node, scalarOf, toFloat64, type Value } from "#graph";
import type { Operand, Site } from "../define.ts";
import { readFloat } from "../shared/attributes.ts";
import { dimsOf, emitNamed, type Pair, type PairScope } from "./rule.ts";

interface Limits {
  readonly data: number;
  readonly low: number;
  readonly high: number;
  /** The stored bounds, with the values that contain them. Two of them can be equal numbers of different rank. */
  readonly constants: readonly (readonly [number, Value])[];
}

/** The largest finite number of each type, which is the default bound of Clip. */
const largestNumbers: Readonly<Partial<Record<DataType, number>>> = {
  float16: 65504,
  float32: 3.4028234663852886e38,
  float64: Number.MAX_VALUE,
};

const integerTypes: readonly DataType[] = ["int32", "int64"];

function numberOf(operand: Operand | undefined): number | undefined {
  const small = operand?.stored === true ? operand.small : undefined;
  if (small === undefined || small.type === "string" || small.data.length !== 1) return undefined;
  const [number] = toFloat64(small);
  return number === undefined || Number.isNaN(number) || (Math.abs(number) > 2 ** 53 && !isFloat(small.type))
    ? undefined
    : number;
}

function limitsOf(node: Node, site: Site, type: DataType): Limits | undefined {
  const defaultBound = largestNumbers[type] ?? Number.POSITIVE_INFINITY;
  if (node.op === "Relu") return { data: 0, low: 0, high: Number.POSITIVE_INFINITY, constants: [] };
  if (node.op === "Clip") {
    const isAttribute = site.version < 11;
    const read = (name: string, input: number, byDefault: number): number | undefined => {
      if (isAttribute) return readFloat(site, name, byDefault);
      return site.inputs[input] === undefined ? byDefault : numberOf(site.inputs[input]);
    };
    const [low, high] = [read("min", 1, -defaultBound), read("max", 2, defaultBound)];
    if (low === undefined || high === undefined) return undefined;
    const constants = [low, high].flatMap((number, index) => {
      const value = isAttribute ? undefined : node.inputs[index + 1];
      return value === undefined ? [] : [[number, value] as const];
    });
    return { data: 0, low, high, constants };
  }
  const data = site.inputs.findIndex((operand) => operand?.stored === false);
  const [constant, number] = [node.inputs[1 - data], numberOf(site.inputs[1 - data])];
  if (data < 0 || node.inputs.length !== 2 || constant === undefined || number === undefined) return undefined;
  const [low, high] = node.op === "Max" ? [number, Number.POSITIVE_INFINITY] : [Number.NEGATIVE_INFINITY, number];
  return { data, low, high, constants: [[number, constant]] };
}

/** Returns whether no constant has more axes than x. Max and Min broadcast, so such a constant would add axes to the result. */
function keepsRank(scope: PairScope, x: Value, constants: Limits["constants"]): boolean {
  const rank = dimsOf(scope, x)?.length ?? 0;
  return constants.every(([, value]) => (dimsOf(scope, value)?.length ?? 1) <= rank);
}

const limitOperators = ["Relu", "Clip", "Max", "Min"];

const limits: Pair = {
  id: "limits",
  description: "two operators that limit values are one Clip, Max or Min",
  first: limitOperators,
  second: limitOperators,
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader, emit, canChange } = scope;
    const [output] = second.outputs;
    const type = output && scope.operand(output)?.type;
    if (!isOnlyReader || type === undefined || (largestNumbers[type] === undefined && !integerTypes.includes(type)))
      return undefined;
    const [inner, outer] = [limitsOf(first, firstSite, type), limitsOf(second, secondSite, type)];
    const x = inner && first.inputs[inner.data];
    if (inner === undefined || outer === undefined || x === undefined || outer.data !== input) return undefined;
    if (inner.low > inner.high || outer.low > outer.high) return undefined;
    const constants = [...inner.constants, ...outer.constants];
    if (!constants.every(([, value]) => canChange(value)) || !keepsRank(scope, x, constants)) return undefined;
    const applyOuterLimits = (number: number): number => Math.min(Math.max(number, outer.low), outer.high);
    const [low, high] = [applyOuterLimits(inner.low), applyOuterLimits(inner.high)];
    const boundValue = (number: number): Value =>
      constants.find(([bound, value]) => bound === number && dimsOf(scope, value)?.length === 0)?.[1] ??
      emit.constant(scalarOf(type, number), "bound");
    const namedEmit = emitNamed(scope);
    // Integers since opset 12; before opset 11, the bounds of Clip are attributes.
    const { version } = secondSite;
    if (!isFloat(type) && version < 12) return undefined;
    if (high === Number.POSITIVE_INFINITY)
      return version < 8 ? undefined : { value: namedEmit.Max([x, boundValue(low)]) };
    if (low === Number.NEGATIVE_INFINITY)
      return version < 8 ? undefined : { value: namedEmit.Min([x, boundValue(high)]) };
    if (version < 11) return type === "float32" ? { value: namedEmit.Clip([x], { min: low, max: high }) } : undefined;
    // Omits a bound that equals the default of Clip.
    const largest = largestNumbers[type] ?? Number.POSITIVE_INFINITY;
    const [lower, upper] = [
      low === -largest ? undefined : boundValue(low),
      high === largest ? undefined : boundValue(high),
    ];
    return { value: namedEmit.Clip([x, lower, upper]) };
  },
};

export const boundPairs: readonly Pair[] = [limits];
