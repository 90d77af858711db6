/** Polynomials over names with integer coefficients ("2*seq + 1"). A factor is a name or a function: "floor((n + 1)/2)". */

/** Maps monomials (sorted factors joined by `*`; "" for the constant term) to nonzero coefficients. */
export type Polynomial = ReadonlyMap<string, number>;

export function add(a: Polynomial, b: Polynomial): Polynomial {
  const sum = new Map(a);
  for (const [monomial, coefficient] of b) sum.set(monomial, (sum.get(monomial) ?? 0) + coefficient);
  return removeZeros(sum);
}

export function multiply(a: Polynomial, b: Polynomial): Polynomial {
  const product = new Map<string, number>();
  for (const [first, p] of a) {
    for (const [second, q] of b) {
      const monomial = [...factors(first), ...factors(second)].sort().join("*");
      product.set(monomial, (product.get(monomial) ?? 0) + p * q);
    }
  }
  return removeZeros(product);
}

function removeZeros(terms: Polynomial): Polynomial {
  return new Map([...terms].filter(([, coefficient]) => coefficient !== 0));
}

/** If b does not divide a, the remainder can grow with every step. */
const maxQuotientTerms = 64;

/** Returns a / b if b divides a exactly and the quotient has few terms. */
export function divide(a: Polynomial, b: Polynomial): Polynomial | undefined {
  const [lead, leadCoefficient] = leadingTerm(b);
  let remainder = a;
  const quotient = new Map<string, number>();
  // Long division. The leading term of a product is the product of leading terms.
  for (
    let [top, coefficient] = leadingTerm(remainder);
    coefficient !== 0;
    [top, coefficient] = leadingTerm(remainder)
  ) {
    const monomial = divideMonomials(top, lead);
    const quotientCoefficient = coefficient / leadCoefficient;
    if (monomial === undefined || !Number.isInteger(quotientCoefficient) || quotient.size === maxQuotientTerms)
      return undefined;
    quotient.set(monomial, quotientCoefficient);
    remainder = add(remainder, multiply(b, new Map([[monomial, -quotientCoefficient]])));
  }
  return quotient;
}

function divideMonomials(a: string, b: string): string | undefined {
  const remainder = factors(a);
  for (const factor of factors(b)) {
    const index = remainder.indexOf(factor);
    if (index < 0) return undefined;
    remainder.splice(index, 1);
  }
  return remainder.join("*");
}

function leadingTerm(terms: Polynomial): readonly [monomial: string, coefficient: number] {
  let lead: readonly [string, number] = ["", 0];
  for (const term of terms) if (lead[1] === 0 || compareByDegree(term[0], lead[0]) < 0) lead = term;
  return lead;
}

/** Graded lexicographic order: highest degree first, then by names. Multiplication preserves it. */
function compareByDegree(a: string, b: string): number {
  const factorsOfA = factors(a);
  const factorsOfB = factors(b);
  if (factorsOfA.length !== factorsOfB.length) return factorsOfB.length - factorsOfA.length;
  const index = factorsOfA.findIndex((factor, index) => factor !== factorsOfB[index]);
  return index < 0 ? 0 : (factorsOfA[index] ?? "") < (factorsOfB[index] ?? "") ? -1 : 1;
}

export function factors(monomial: string): string[] {
  return monomial === "" ? [] : splitOutside(monomial, /^\*/).parts;
}

/** Parses a polynomial, which need not be in normal form; undefined for other text. */
export function parsePolynomial(text: string): Polynomial | undefined {
  const { parts, separators } = splitOutside(text.replace(/^-/, ""), /^ [+-] /);
  let sum: Polynomial = new Map();
  for (const [index, part] of parts.entries()) {
    const sign = index === 0 ? (text.startsWith("-") ? -1 : 1) : separators[index - 1] === " - " ? -1 : 1;
    const names = factors(part);
    const numbers = names.filter((name) => /^\d+$/.test(name));
    const symbols = names.filter((name) => !/^\d+$/.test(name));
    if (part === "" || symbols.some((name) => !/^[A-Za-z_]/.test(name))) return undefined;
    sum = add(
      sum,
      new Map([[symbols.sort().join("*"), numbers.reduce((product, name) => product * Number(name), sign)]]),
    );
  }
  return sum;
}

/** Splits text at separators outside of parentheses: "floor((a*b)/2)*c" has two factors. */
export function splitOutside(
  text: string,
  separator: RegExp,
): { readonly parts: string[]; readonly separators: string[] } {
  const parts: string[] = [];
  const separators: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === "(") depth++;
    else if (character === ")") depth--;
    const token = depth === 0 && index > 0 ? separator.exec(text.slice(index, index + 3))?.[0] : undefined;
    if (token === undefined) continue;
    parts.push(text.slice(start, index));
    separators.push(token);
    start = index + token.length;
    index = start - 1;
  }
  parts.push(text.slice(start));
  return { parts, separators };
}

export function polynomialText(terms: Polynomial): string {
  return [...terms]
    .sort(([a], [b]) => compareByDegree(a, b))
    .reduce((text, [monomial, coefficient], index) => {
      const size = Math.abs(coefficient);
      const term = monomial === "" ? String(size) : size === 1 ? monomial : `${size}*${monomial}`;
      const sign = coefficient < 0 ? "-" : "+";
      return index === 0 ? (coefficient < 0 ? `-${term}` : term) : `${text} ${sign} ${term}`;
    }, "");
}
