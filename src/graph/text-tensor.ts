/**
 * Tensors as text: `= [1, 2, 3]`, nested if you like, `= 0.5` for a scalar, or by a recipe:
 *
 * - `zeros`, `ones`
 * - `random(seed 1)`: uniform with mean 0; for a matrix or kernel the variance is 1 / (elements per row), for a vector the range is ±1
 * - `random(seed 1, from 0.5 to 1.5)`: uniform in that range, the upper end excluded; for integer types the range must be given
 *
 * A tensor that was written by a recipe prints as that recipe, so what is printed stays short and parses to the same numbers.
 * Types without numbers in JavaScript (float16, bfloat16, the float8 family, float4) are written as their bits: `0x3c00`.
 */
import { PithError } from "../errors.ts";
import { bitsOf, inMemory, viewBytes, zeros } from "../tensor/dense.ts";
import { dimsText, elementCount } from "../tensor/dims.ts";
import type { DataType, Dense, Tensor } from "../tensor/types.ts";
import type { Scanner } from "./text-scan.ts";

const recipes = new WeakMap<Tensor, string>();

/** The recipe a tensor was written by, if it was. */
export function recipeOf(tensor: Tensor): string | undefined {
  return recipes.get(tensor);
}

export function isDataType(text: string): text is DataType {
  return text === "string" || Object.hasOwn(bitsOf, text);
}

/** Reads the elements of a tensor whose type and dimensions are known. */
export function parseTensor(scanner: Scanner, type: DataType, dims: readonly number[]): Tensor {
  const start = scanner.position;
  const recipe = parseRecipe(scanner);
  if (recipe !== undefined) {
    if (type === "string") return scanner.fail("strings are written out: there is no recipe for them", start);
    const numbers = recipe.numbers(type, dims) ?? scanner.fail(`${recipe.text} of ${type} needs a range`, start);
    const tensor = inMemory(fromTokens(type, dims, numbers));
    recipes.set(tensor, recipe.text);
    return tensor;
  }
  const tokens: string[] = [];
  parseElements(scanner, type, tokens);
  const expected = elementCount(dims) * (type === "complex64" || type === "complex128" ? 2 : 1);
  if (tokens.length !== expected) {
    scanner.fail(`${type}${dimsText(dims)} has ${expected} elements, got ${tokens.length}`, start);
  }
  if (type === "string") return inMemory({ type, dims, data: tokens });
  try {
    return inMemory(fromTokens(type, dims, tokens));
  } catch (error) {
    return scanner.fail(`${type} cannot hold this: ${error instanceof Error ? error.message : String(error)}`, start);
  }
}

/** The elements in brackets; a scalar without. */
export function elementsText(dense: Dense): string {
  const elements = elementTexts(dense);
  return dense.dims.length === 0 && elements.length === 1 ? String(elements[0]) : `[${elements.join(", ")}]`;
}

/** The shortest decimal number that is `value` once rounded to float32; `value` itself where it is no float32. */
export function float32Text(value: number): string {
  if (value === 0 || Math.fround(value) !== value) return numberText(value);
  for (const digits of [6, 7, 8]) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return numberText(short);
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

interface Recipe {
  readonly text: string;
  /** Undefined where the recipe makes no sense for the type. */
  numbers(type: DataType, dims: readonly number[]): readonly number[] | undefined;
}

function parseRecipe(scanner: Scanner): Recipe | undefined {
  for (const [text, value] of [
    ["zeros", 0],
    ["ones", 1],
  ] as const) {
    if (!scanner.take(text)) continue;
    return { text, numbers: (type, dims) => new Array(numbersIn(type, dims)).fill(value === 1 ? one(type) : 0) };
  }
  if (!scanner.take("random")) return undefined;
  scanner.expect("(");
  scanner.expect("seed");
  const seed = Number(scanner.number() ?? scanner.fail(`expected a seed, got ${scanner.upcoming()}`));
  let range: readonly [number, number] | undefined;
  if (scanner.take(",")) {
    const bound = (): number =>
      parseNumber(scanner.number() ?? scanner.fail(`expected a number, got ${scanner.upcoming()}`));
    scanner.expect("from");
    const from = bound();
    scanner.expect("to");
    range = [from, bound()];
  }
  scanner.expect(")");
  const rangeText = range === undefined ? "" : `, from ${numberText(range[0])} to ${numberText(range[1])}`;
  return { text: `random(seed ${seed}${rangeText})`, numbers: (type, dims) => randomNumbers(type, dims, seed, range) };
}

function randomNumbers(
  type: DataType,
  dims: readonly number[],
  seed: number,
  range: readonly [number, number] | undefined,
): readonly number[] | undefined {
  const count = numbersIn(type, dims);
  const next = uniform(seed);
  if (type === "float32" || type === "float64" || type === "complex64" || type === "complex128") {
    // A uniform distribution over ±b has the variance b² / 3.
    const bound = dims.length < 2 ? 1 : Math.sqrt((3 * (dims[0] ?? 1)) / Math.max(1, count));
    const [from, to] = range ?? [-bound, bound];
    return Array.from({ length: count }, () => from + (to - from) * next());
  }
  if (range === undefined || type.startsWith("float") || type === "bfloat16") return undefined;
  return Array.from({ length: count }, () => Math.floor(range[0] + (range[1] - range[0]) * next()));
}

/** Mulberry32: 32 bits of state are enough for test data. */
function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function numbersIn(type: DataType, dims: readonly number[]): number {
  return elementCount(dims) * (type === "complex64" || type === "complex128" ? 2 : 1);
}

/** The bits of 1 where a type is held as bits. */
function one(type: DataType): number {
  return bitsOfOne[type] ?? 1;
}

const bitsOfOne: Partial<Record<DataType, number>> = {
  float16: 0x3c00,
  bfloat16: 0x3f80,
  float8e4m3fn: 0x38,
  float8e4m3fnuz: 0x40,
  float8e5m2: 0x3c,
  float8e5m2fnuz: 0x40,
  float8e8m0: 0x7f,
  float4e2m1: 2,
};

function parseElements(scanner: Scanner, type: DataType, into: string[]): void {
  if (scanner.take("[")) {
    while (!scanner.take("]")) {
      parseElements(scanner, type, into);
      if (!scanner.take(",")) {
        scanner.expect("]");
        return;
      }
    }
    return;
  }
  if (type === "string") into.push(scanner.string() ?? scanner.fail(`expected a string, got ${scanner.upcoming()}`));
  else if (type === "bool" && scanner.take("true")) into.push("1");
  else if (type === "bool" && scanner.take("false")) into.push("0");
  else into.push(scanner.number() ?? scanner.fail(`expected a number, got ${scanner.upcoming()}`));
}

function fromTokens(
  type: Exclude<DataType, "string">,
  dims: readonly number[],
  tokens: readonly (string | number)[],
): Dense {
  const dense = zeros(type, dims);
  if (bitsOf[type] < 8) return viewBytes(type, dims, pack(tokens.map(integer), bitsOf[type]));
  const whole = type !== "float32" && type !== "float64" && !type.startsWith("complex");
  if (dense.data instanceof BigInt64Array || dense.data instanceof BigUint64Array) {
    for (const [index, token] of tokens.entries()) dense.data[index] = BigInt(token);
  } else if (dense.type !== "string") {
    for (const [index, token] of tokens.entries()) {
      dense.data[index] = whole ? integer(token) : typeof token === "number" ? token : parseNumber(token);
    }
  }
  return dense;
}

function integer(token: string | number): number {
  const value = Number(token);
  if (!Number.isInteger(value)) throw new PithError("E_MODEL", `${token} is not an integer`);
  return value;
}

/** Low bits first. */
function pack(values: readonly number[], bits: number): Uint8Array {
  const perByte = 8 / bits;
  const bytes = new Uint8Array(Math.ceil(values.length / perByte));
  for (const [index, value] of values.entries()) {
    const byte = Math.floor(index / perByte);
    bytes[byte] = (bytes[byte] ?? 0) | ((value & ((1 << bits) - 1)) << ((index % perByte) * bits));
  }
  return bytes;
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
    case "bool":
      return Array.from(dense.data, (value) => (value === 0 ? "false" : value === 1 ? "true" : String(value)));
    case "int64":
    case "uint64":
    case "int8":
    case "uint8":
    case "int16":
    case "uint16":
    case "int32":
    case "uint32":
      return Array.from<number | bigint, string>(dense.data, String);
    case "int4":
    case "uint4":
    case "int2":
    case "uint2":
    case "float4e2m1":
      return unpack(dense);
    default:
      return Array.from(dense.data, hexadecimal);
  }
}

function unpack(dense: Dense<"int4" | "uint4" | "int2" | "uint2" | "float4e2m1">): string[] {
  const bits = bitsOf[dense.type];
  const perByte = 8 / bits;
  const sign = dense.type === "int4" || dense.type === "int2" ? 1 << (bits - 1) : 0;
  return Array.from({ length: elementCount(dense.dims) }, (_, index) => {
    const byte = dense.data[Math.floor(index / perByte)] ?? 0;
    const value = (byte >> ((index % perByte) * bits)) & ((1 << bits) - 1);
    return dense.type === "float4e2m1" ? hexadecimal(value) : String((value ^ sign) - sign);
  });
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16)}`;
}
