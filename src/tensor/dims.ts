/**
 * Dimensions: numbers, or polynomials over named dimensions ("batch", "2*seq + 1").
 *
 * A symbolic dimension is interned by its text, so two dimensions are equal exactly if they are `===`.
 * The text is the normal form: monomials sorted by name, highest first, the constant last.
 */

export interface Symbolic {
  readonly text: string;
}

export type Dim = number | Symbolic;

/** Monomial (factors joined by `*`, sorted; "" for the constant) → coefficient. */
type Polynomial = ReadonlyMap<string, number>;

const interned = new Map<string, Symbolic>();
const polynomials = new WeakMap<Symbolic, Polynomial>();

/** The dimension called `name`. */
export function symbol(name: string): Symbolic {
  return intern(new Map([[name, 1]]), name);
}

export function isSymbolic(dim: Dim): dim is Symbolic {
  return typeof dim !== "number";
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = new Map(polynomial(a));
  for (const [monomial, coefficient] of polynomial(b)) sum.set(monomial, (sum.get(monomial) ?? 0) + coefficient);
  return normal(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const product = new Map<string, number>();
  for (const [left, p] of polynomial(a)) {
    for (const [right, q] of polynomial(b)) {
      const monomial = [...factors(left), ...factors(right)].sort().join("*");
      product.set(monomial, (product.get(monomial) ?? 0) + p * q);
    }
  }
  return normal(product);
}

/** a / b where it divides exactly (b a number or a single monomial), else undefined. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return 1;
  if (typeof a === "number" && typeof b === "number") return b !== 0 && a % b === 0 ? a / b : undefined;
  const divisor = [...polynomial(b)];
  const [term] = divisor;
  if (divisor.length !== 1 || term === undefined || term[1] === 0) return undefined;
  const quotient = new Map<string, number>();
  for (const [monomial, coefficient] of polynomial(a)) {
    const rest = factors(monomial);
    for (const factor of factors(term[0])) {
      const at = rest.indexOf(factor);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    if (coefficient % term[1] !== 0) return undefined;
    quotient.set(rest.join("*"), coefficient / term[1]);
  }
  return normal(quotient);
}

/** The product of all dimensions: the number of elements. */
export function elementCount(dims: readonly number[]): number;
export function elementCount(dims: readonly Dim[]): Dim;
export function elementCount(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** The dimensions if all are numbers, else undefined. */
export function fixedDims(dims: readonly Dim[] | undefined): readonly number[] | undefined {
  return dims?.every((dim) => typeof dim === "number") ? (dims as readonly number[]) : undefined;
}

export function dimText(dim: Dim): string {
  return typeof dim === "number" ? String(dim) : dim.text;
}

/** `[batch, 3, 32, 32]`, or `?` where the rank is unknown. */
export function dimsText(dims: readonly Dim[] | undefined): string {
  return dims === undefined ? "?" : `[${dims.map(dimText).join(", ")}]`;
}

export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, index) => dim === b[index]);
}

/** Row-major strides, in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis] ?? 1;
  }
  return strides;
}

function polynomial(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map([["", dim]]);
  return polynomials.get(dim) ?? new Map([[dim.text, 1]]);
}

function factors(monomial: string): string[] {
  return monomial === "" ? [] : monomial.split("*");
}

function normal(terms: Map<string, number>): Dim {
  const kept = [...terms].filter(([, coefficient]) => coefficient !== 0);
  if (kept.length === 0) return 0;
  const [first] = kept;
  if (kept.length === 1 && first !== undefined && first[0] === "") return first[1];
  // Highest degree first, then by name; the constant comes last of itself.
  kept.sort(([a], [b]) => factors(b).length - factors(a).length || (a < b ? -1 : 1));
  const text = kept.reduce((written, [monomial, coefficient], index) => {
    const size = Math.abs(coefficient);
    const term = monomial === "" ? String(size) : size === 1 ? monomial : `${size}*${monomial}`;
    const sign = coefficient < 0 ? "-" : "+";
    return index === 0 ? (coefficient < 0 ? `-${term}` : term) : `${written} ${sign} ${term}`;
  }, "");
  return intern(new Map(kept), text);
}

function intern(terms: Polynomial, text: string): Symbolic {
  let found = interned.get(text);
  if (found === undefined) {
    found = Object.freeze({ text });
    interned.set(text, found);
    polynomials.set(found, terms);
  }
  return found;
}
