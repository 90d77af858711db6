/**
 * Reads and writes tensors as text: `= [1, 2, 3]`, optionally nested, `= 0.5` for a scalar, or a fill:
 * - `zeros`, `ones`
 * - `random(seed 1)`: uniform with mean 0. For a matrix or kernel, the variance is 1 / (elements per row). For a vector, the range is ±1.
 * - `random(seed 1, from 0.5 to 1.5)`: uniform in [0.5, 1.5). Integer types require a range.
 * A tensor from a fill is written as the fill. Elements of small float types can also be bits: `0x7e01`.
 */
import { errorMessage, modelError, stripPeriod } from "../errors.ts";
import { fromNumbers, integerRange, toNumbers } from "../tensor/convert.ts";
import { inMemory, zeros } from "../tensor/dense.ts";
import { dimsText, elementCount } from "../tensor/dims.ts";
import { pack, unpack } from "../tensor/packed.ts";
import { random } from "../tensor/random.ts";
import { encodeFloats, type SmallFloat } from "../tensor/small-float.ts";
import { bitsOf, type DataType, type Dense, type Tensor } from "../tensor/types.ts";
import type { Scanner } from "./text-scan.ts";

const fillTexts = new WeakMap<Tensor, string>();

export function fillTextOf(tensor: Tensor): string | undefined {
  return fillTexts.get(tensor);
}

export function isDataType(text: string): text is DataType {
  return text === "string" || Object.hasOwn(bitsOf, text);
}

export function parseTensor(scanner: Scanner, type: DataType, dims: readonly number[]): Tensor {
  const start = scanner.position;
  const fill = parseFill(scanner);
  const tokens: string[] = [];
  if (fill === undefined) parseElements(scanner, type, tokens);
  try {
    const tensor = inMemory(fill === undefined ? tensorFromTokens(type, dims, tokens) : fill.make(type, dims));
    if (fill !== undefined) fillTexts.set(tensor, fill.text);
    return tensor;
  } catch (error) {
    return scanner.fail(stripPeriod(errorMessage(error)), start);
  }
}

export function elementsText(dense: Dense): string {
  const elements = elementTexts(dense);
  return dense.dims.length === 0 && elements.length === 1 ? String(elements[0]) : `[${elements.join(", ")}]`;
}

/** Returns a short decimal text that rounds to `value` in float32. */
export function float32Text(value: number): string {
  if (value === 0 || Math.fround(value) !== value) return numberText(value);
  for (const digits of [6, 7, 8]) {
    const roundedValue = Number(value.toPrecision(digits));
    if (Math.fround(roundedValue) === value) return numberText(roundedValue);
  }
  return numberText(Number(value.toPrecision(9)));
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Object.is(value, -0) ? "-0" : String(value);
}

export function parseNumber(text: string): number {
  if (/^[+-]?inf$/.test(text)) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /nan$/.test(text) ? Number.NaN : Number(text);
}

interface FillText {
  readonly text: string;
  make(type: DataType, dims: readonly number[]): Dense;
}

function parseFill(scanner: Scanner): FillText | undefined {
  if (scanner.accept("zeros")) return { text: "zeros", make: (type, dims) => fillTensor(type, dims, () => 0) };
  if (scanner.accept("ones")) return { text: "ones", make: (type, dims) => fillTensor(type, dims, () => 1) };
  if (!scanner.accept("random")) return undefined;
  const number = (): number =>
    parseNumber(scanner.readNumber() ?? scanner.fail(`expected a number, got ${scanner.quoteNext()}`));
  scanner.expect("(");
  scanner.expect("seed");
  const seed = number();
  let range: readonly [number, number] | undefined;
  if (scanner.accept(",")) {
    scanner.expect("from");
    const from = number();
    scanner.expect("to");
    range = [from, number()];
  }
  scanner.expect(")");
  const rangeText = range === undefined ? "" : `, from ${numberText(range[0])} to ${numberText(range[1])}`;
  return { text: `random(seed ${seed}${rangeText})`, make: (type, dims) => randomTensor(type, dims, seed, range) };
}

function randomTensor(
  type: DataType,
  dims: readonly number[],
  seed: number,
  range: readonly [number, number] | undefined,
): Dense {
  const isInteger = !/float|complex/.test(type);
  if (range === undefined && isInteger) throw modelError(`random(seed ${seed}) of ${type} needs a range.`);
  // A uniform distribution in ±b has variance b² / 3.
  const bound = dims.length < 2 ? 1 : Math.sqrt((3 * (dims[0] ?? 1)) / Math.max(1, elementCount(dims)));
  const [from, to] = range ?? [-bound, bound];
  const numbers = random(seed);
  return fillTensor(type, dims, () => (isInteger ? from + numbers.integer(to - from) : numbers.uniform(from, to)));
}

function fillTensor(type: DataType, dims: readonly number[], next: () => number): Dense {
  if (type === "string") throw modelError("Strings must be written out: they cannot be generated.");
  const numbers = Array.from({ length: storedNumberCount(type, dims) }, next);
  if (type === "complex64") return { type, dims, data: Float32Array.from(numbers) };
  if (type === "complex128") return { type, dims, data: Float64Array.from(numbers) };
  if (type === "float8e8m0") throw modelError("The elements of float8e8m0 are written as their bits.");
  return fromNumbers(type, dims, numbers);
}

function storedNumberCount(type: DataType, dims: readonly number[]): number {
  return elementCount(dims) * (type === "complex64" || type === "complex128" ? 2 : 1);
}

function parseElements(scanner: Scanner, type: DataType, tokens: string[]): void {
  if (scanner.accept("[")) {
    while (!scanner.accept("]")) {
      parseElements(scanner, type, tokens);
      if (!scanner.accept(",")) {
        scanner.expect("]");
        return;
      }
    }
    return;
  }
  if (type === "string")
    tokens.push(scanner.readString() ?? scanner.fail(`expected a string, got ${scanner.quoteNext()}`));
  else if (type === "bool" && scanner.accept("true")) tokens.push("1");
  else if (type === "bool" && scanner.accept("false")) tokens.push("0");
  else tokens.push(scanner.readNumber() ?? scanner.fail(`expected a number, got ${scanner.quoteNext()}`));
}

function tensorFromTokens(type: DataType, dims: readonly number[], tokens: readonly string[]): Dense {
  const expectedCount = storedNumberCount(type, dims);
  if (tokens.length !== expectedCount)
    throw modelError(`${type}${dimsText(dims)} has ${expectedCount} elements, got ${tokens.length}.`);
  if (type === "string") return { type, dims, data: tokens };
  if (isSmallFloat(type)) {
    const codes = tokens.map((token) => encodeElement(type, token));
    const dense = type === "float4e2m1" ? { type, dims, data: pack(type, codes) } : zeros(type, dims);
    if (dense.type !== "float4e2m1" && dense.type !== "string")
      for (const [at, bits] of codes.entries()) dense.data[at] = bits;
    return dense;
  }
  if (type === "int64") return { type, dims, data: BigInt64Array.from(tokens, (token) => parseInteger64(type, token)) };
  if (type === "uint64")
    return { type, dims, data: BigUint64Array.from(tokens, (token) => parseInteger64(type, token)) };
  const numbers = tokens.map(parseNumber);
  const range =
    type === "bool"
      ? [0, 1]
      : Object.hasOwn(integerRange, type)
        ? integerRange[type as keyof typeof integerRange]
        : undefined;
  if (range !== undefined) {
    const [low = 0, high = 0] = range;
    const invalidNumber = numbers.find((value) => !(Number.isInteger(value) && value >= low && value <= high));
    if (invalidNumber !== undefined)
      throw modelError(`${type} holds integers from ${low} to ${high}, got ${invalidNumber}.`);
  }
  let nextIndex = 0;
  return fillTensor(type, dims, () => numbers[nextIndex++] ?? 0);
}

function parseInteger64(type: "int64" | "uint64", token: string): bigint {
  const value = /^[+-]?\d+$/.test(token) ? BigInt(token) : undefined;
  const fits =
    value !== undefined && (type === "int64" ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value;
  if (!fits) throw modelError(`${type} holds integers of 64 bits, got ${token}.`);
  return value;
}

function isSmallFloat(type: DataType): type is SmallFloat {
  return type.startsWith("float") ? bitsOf[type as SmallFloat] <= 16 : type === "bfloat16";
}

function encodeElement(type: SmallFloat, token: string): number {
  if (token.startsWith("0x")) return Number(token);
  if (type === "float8e8m0") throw modelError("The elements of float8e8m0 are written as their bits.");
  const value = parseNumber(token);
  // A finite number beyond the type's range becomes the largest finite value.
  return encodeFloats(type, [value], { saturate: Number.isFinite(value) })[0] ?? 0;
}

function elementTexts(dense: Dense): string[] {
  switch (dense.type) {
    case "string":
      return dense.data.map((text) => JSON.stringify(text));
    case "float32":
    case "complex64":
      return Array.from(dense.data, float32Text);
    case "float64":
    case "complex128":
      return Array.from(dense.data, numberText);
    case "int64":
    case "uint64":
      return Array.from<bigint, string>(dense.data, String);
    case "bool":
      return Array.from(dense.data, (value) => (value === 0 ? "false" : "true"));
    default:
      return isSmallFloat(dense.type) ? smallFloatTexts(dense) : toNumbers(dense).map(String);
  }
}

function smallFloatTexts(dense: Dense): string[] {
  const codes = dense.type === "float4e2m1" ? unpack(dense.type, dense.data, elementCount(dense.dims)) : dense.data;
  const bits = (at: number): string => `0x${Number(codes[at] ?? 0).toString(16)}`;
  // NaN is written as bits, because some types have several bit patterns for it.
  return toNumbers(dense).map((value, at) =>
    dense.type === "float8e8m0" || Number.isNaN(value) ? bits(at) : float32Text(value),
  );
}
