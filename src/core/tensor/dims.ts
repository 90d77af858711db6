/**
 * Dimensions of tensors: numbers, or polynomials over named dimensions ("batch", "2*seq + 1"). Symbolic dimensions are interned, so equal dimensions
 * are `===`. Their text is in normal form: monomials with sorted factors, the highest degree first, the constant last.
 */

import { PithError } from "../errors.ts";
import { getOrAdd } from "./get-or-add.ts";
import type { Polynomial } from "./polynomial.ts";
import { add, divide, factors, multiply, parsePolynomial, polynomialText, splitOutside } from "./polynomial.ts";
import { sliceRange } from "./slice-range.ts";

export interface Symbolic {
  readonly text: string;
}

export type Dim = number | Symbolic;

const symbolsByText = new Map<string, Symbolic>();
const polynomials = new WeakMap<Symbolic, Polynomial>();

/** Returns the dimension for a text as in ONNX files: a polynomial ("2*seq + 1"), or a name ("height/2"). */
export function symbol(text: string): Symbolic {
  const existingSymbol = symbolsByText.get(text);
  if (existingSymbol !== undefined) return existingSymbol;
  if (text === "") throw new PithError("E_NAME", "A named dimension needs a name.");
  if (text.length > maxTextLength) return longDim(text);
  const polynomial = parsePolynomial(text);
  const dim = polynomial === undefined ? undefined : normalize(polynomial);
  return dim === undefined || typeof dim === "number" ? intern(new Map([[text, 1]]), text) : dim;
}

/** Returns a symbol for a data-dependent dimension. Files store it as an unknown dimension. */
export function unknownDim(value: string, axis: number): Symbolic {
  return symbol(`?${nameInDim(value)}.${axis}`);
}

export function nameInDim(value: string): string {
  return value.replaceAll(/[^\w./:]/g, "_");
}

export function isUnknownDim(dim: Dim): boolean {
  return isSymbolic(dim) && /(^|[-+*( ])\?./.test(dim.text);
}

export function unknownDimsIn(text: string): ReadonlySet<string> {
  return new Set(text.match(/\?[\w./:]+/g));
}

export function isSymbolic(dim: Dim): dim is Symbolic {
  return typeof dim !== "number";
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  return normalize(add(polynomialOf(a), polynomialOf(b)));
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b + 0; // 0 * -1 is -0, which text cannot represent
  const [first, second] = [polynomialOf(a), polynomialOf(b)];
  if (first.size * second.size > maxTerms) return longDim([`(${dimText(a)})`, `(${dimText(b)})`].sort().join("*"));
  return normalize(multiply(first, second));
}

/** Returns a / b if b divides a exactly: `batch*past + batch*seq` by `past + seq` is `batch`. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
  if (b === 0) return undefined;
  if (a === b) return 1;
  const quotient = divide(polynomialOf(a), polynomialOf(b));
  return quotient === undefined ? undefined : normalize(quotient);
}

/** Replaces a name in a dimension, but not inside functions ("floor(n/2)"). */
export function substituteDim(dim: Dim, name: string, value: Dim): Dim {
  let sum: Dim = 0;
  for (const [monomial, coefficient] of polynomialOf(dim)) {
    let term: Dim = coefficient;
    for (const factor of factors(monomial)) term = multiplyDims(term, factor === name ? value : symbol(factor));
    sum = addDims(sum, term);
  }
  return sum;
}

/**
 * Solves the equation a = b for names in a linear term with coefficient 1 or -1.
 * @example solveDims(symbol("total"), symbol("past + 2")) // total = past + 2, or past = total - 2
 */
export function solveDims(a: Dim, b: Dim): readonly (readonly [name: string, value: Dim])[] {
  const difference = addDims(a, multiplyDims(-1, b));
  return [...polynomialOf(difference)].flatMap(([monomial, coefficient]) => {
    const [name, ...otherFactors] = factors(monomial);
    if (name === undefined || otherFactors.length > 0 || Math.abs(coefficient) !== 1 || name.includes("(")) return [];
    const remainder = addDims(difference, multiplyDims(-coefficient, symbol(name)));
    const value = multiplyDims(-coefficient, remainder);
    return dimText(value).includes(name) ? [] : [[name, value] as const];
  });
}

/** Returns ⌊a / b⌋ for nonnegative dimensions, as a symbol if b does not divide a exactly. */
export function floorDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number" && b !== 0) return Math.floor(a / b);
  return divideDims(a, b) ?? symbol(`floor((${dimText(a)})/${divisorText(b)})`);
}

/** Returns a / b, possibly fractional, for sizes that a graph multiplies by fractions. */
export function quotientDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a / b;
  const exactQuotient = divideDims(a, b);
  if (exactQuotient !== undefined) return exactQuotient;
  const quotient = symbol(`(${dimText(a)})/(${dimText(b)})`);
  if (isSymbolic(quotient)) quotients.set(quotient, [a, b]);
  return quotient;
}

/** Returns numerator and denominator of a symbolic quotient from `quotientDims`. */
export function quotientParts(dim: Dim): readonly [Dim, Dim] | undefined {
  return isSymbolic(dim) ? quotients.get(dim) : undefined;
}

const quotients = new WeakMap<Symbolic, readonly [Dim, Dim]>();

export function ceilDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number" && b !== 0) return Math.ceil(a / b);
  return divideDims(a, b) ?? symbol(`ceil((${dimText(a)})/${divisorText(b)})`);
}

/** Returns the maximum or minimum, as a symbol if it depends on names. max(a, b) and max(b, a) are the same symbol. */
export function extremeDims(name: "max" | "min", dims: readonly Dim[]): Dim {
  const symbols = [...new Set(dims.filter(isSymbolic))];
  // Names are nonnegative: 18·n ≥ 9·n, and n + 1 ≥ n.
  const isAtMost = (a: Dim, b: Dim): boolean => a !== b && isNonnegative(addDims(b, multiplyDims(-1, a)));
  const names = symbols.filter((a) => !symbols.some((b) => (name === "max" ? isAtMost(a, b) : isAtMost(b, a))));
  const numbers = dims.filter((dim) => typeof dim === "number");
  const number = numbers.length === 0 ? undefined : Math[name](...numbers);
  const [first] = names;
  if (first === undefined) return number ?? 0;
  if (names.length === 1 && number === undefined) return first;
  if (number !== undefined && number <= 0 && names.every(isNonnegative))
    return name === "min" ? number : extremeDims(name, names);
  const texts = names.map(dimText).sort();
  return symbol(`${name}(${[...texts, ...(number === undefined ? [] : [String(number)])].join(", ")})`);
}

/** Returns whether a dimension is nonnegative because no term is subtracted. */
export function isNonnegative(dim: Dim): boolean {
  return isSymbolic(dim) ? !dim.text.includes("-") : dim >= 0;
}

function divisorText(dim: Dim): string {
  return isSymbolic(dim) ? `(${dim.text})` : String(dim);
}

/**
 * Returns the value of a dimension for given sizes of names; undefined if the size of a name is missing.
 * @example dimValue(symbol("floor((n + 1)/2)*batch"), { n: 4, batch: 3 }) // 6
 */
export function dimValue(dim: Dim, sizes: Readonly<Record<string, number>>): number | undefined {
  if (typeof dim === "number") return dim;
  let sum = 0;
  for (const [monomial, coefficient] of polynomialOf(dim)) {
    let term = coefficient;
    for (const factor of factors(monomial)) {
      const value = Object.hasOwn(sizes, factor) ? sizes[factor] : functionValue(factor, sizes);
      if (value === undefined) return undefined;
      term *= value;
    }
    sum += term;
  }
  return sum + 0;
}

/** Evaluates floor((a)/b), ceil((a)*0.5), (a)/(b), max(a, …), min(a, …) or slice(size, start, end, step). */
function functionValue(text: string, sizes: Readonly<Record<string, number>>): number | undefined {
  const value = (part: string | undefined): number | undefined => {
    const innerText = part === undefined ? "" : unwrapParentheses(part);
    if (/^-?\d+(\.\d+)?(e[-+]?\d+)?$/.test(innerText)) return Number(innerText);
    return innerText === "" ? undefined : dimValue(symbol(innerText), sizes);
  };
  const [, name = "", argumentsText = text] = /^(floor|ceil|max|min|slice)\((.*)\)$/s.exec(text) ?? [];
  if (name === "max" || name === "min" || name === "slice") {
    const values = splitOutside(argumentsText, /^, /).parts.map(value);
    if (!values.every((part) => part !== undefined)) return undefined;
    const [size = 0, start = 0, end = 0, step = 1] = values;
    return name === "slice" ? sliceRange(size, start, end, step).count : Math[name](...values);
  }
  const { parts, separators } = splitOutside(argumentsText, /^[/*]/);
  if (parts.length === 1 && unwrapParentheses(parts[0] ?? "") === text) return undefined;
  const [first, ...otherValues] = parts.map(value);
  let result = first;
  for (const [index, other] of otherValues.entries()) {
    if (result === undefined || other === undefined) return undefined;
    result = separators[index] === "/" ? result / other : result * other;
  }
  if (result === undefined) return undefined;
  return name === "floor" ? Math.floor(result) : name === "ceil" ? Math.ceil(result) : result;
}

function unwrapParentheses(text: string): string {
  if (!text.startsWith("(")) return text;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === "(") depth++;
    else if (character === ")") depth--;
    if (depth === 0) return index === text.length - 1 ? text.slice(1, -1) : text;
  }
  return text;
}

export function elementCount(dims: readonly number[]): number;
export function elementCount(dims: readonly Dim[]): Dim;
export function elementCount(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** Returns the dimensions as numbers; undefined if one is symbolic. */
export function fixedDims(dims: readonly Dim[] | undefined): readonly number[] | undefined {
  return dims?.every((dim) => typeof dim === "number") ? (dims as readonly number[]) : undefined;
}

export function dimText(dim: Dim): string {
  return typeof dim === "number" ? String(dim) : dim.text;
}

/** Splits a product into its coefficient and its names: 4 and "batch" for "4*batch"; undefined for sums. */
export function productParts(dim: Dim): readonly [count: number, of: string] | undefined {
  const [[name, count] = ["", 0], ...otherTerms] = polynomialOf(dim);
  return otherTerms.length === 0 ? [count, name] : undefined;
}

/** Formats dimensions such as `[batch, 3, 32, 32]`; `?` for an unknown rank. */
export function dimsText(dims: readonly Dim[] | undefined): string {
  return dims === undefined ? "?" : `[${dims.map(dimText).join(", ")}]`;
}

export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, index) => dim === b[index]);
}

function polynomialOf(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
  return polynomials.get(dim) ?? new Map([[dim.text, 1]]);
}

function normalize(terms: Polynomial): Dim {
  const { size } = terms;
  const constant = terms.get("");
  if (size === 0) return 0;
  return size === 1 && constant !== undefined ? constant : intern(terms, polynomialText(terms));
}

/** Real networks need some hundred characters, but repeated products of sums grow without bound. */
const maxTextLength = 4096;
const maxTerms = 4096;

function longDim(text: string): Symbolic {
  return getOrAdd(longDims, text, () => symbol(`?long${longDims.size}`));
}

const longDims = new Map<string, Symbolic>();

function intern(terms: Polynomial, text: string): Symbolic {
  if (text.length > maxTextLength) return longDim(text);
  return getOrAdd(symbolsByText, text, () => {
    const dim = Object.freeze({ text });
    polynomials.set(dim, terms);
    return dim;
  });
}
