import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { stridesOf } from "./axis-layout.ts";
import {
  addDims,
  ceilDims,
  type Dim,
  dimsText,
  dimText,
  dimValue,
  divideDims,
  elementCount,
  extremeDims,
  fixedDims,
  floorDims,
  isSymbolic,
  isUnknownDim,
  multiplyDims,
  sameDims,
  symbol,
} from "./dims.ts";

const names = ["batch", "seq", "past", "floor((height - 1)/2)"] as const;

const leaf: fc.Arbitrary<Dim> = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(...names).map(symbol));

/** Generates sums and products of names and small integers. */
const dim: fc.Arbitrary<Dim> = fc.letrec<{ dim: Dim }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => addDims(a, b)),
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => multiplyDims(a, b)),
  ),
})).dim;

/** Evaluates the text of a dimension, independently of the code under test. */
function valueAt(of: Dim, values: Readonly<Record<string, bigint>>): bigint {
  let text = dimText(of);
  for (const [index, name] of names.entries()) text = text.replaceAll(name, `n${index}`);
  const factor = (word: string): bigint =>
    word.startsWith("n") ? (values[names[Number(word.slice(1))] ?? ""] ?? 0n) : BigInt(word);
  return text
    .replace(/^-/, "0 - ")
    .replaceAll(" - ", " + -1*")
    .split(" + ")
    .reduce((sum, term) => sum + term.split("*").reduce((product, word) => product * factor(word), 1n), 0n);
}

const values = fc.record({
  batch: fc.bigInt(-9n, 9n),
  seq: fc.bigInt(-9n, 9n),
  past: fc.bigInt(-9n, 9n),
  "floor((height - 1)/2)": fc.bigInt(-9n, 9n),
});

const [batch, seq, past] = [symbol("batch"), symbol("seq"), symbol("past")];

describe("dimensions", () => {
  test("addDims and multiplyDims give the sum and product of the values", () => {
    fc.assert(
      fc.property(dim, dim, values, (a, b, at) => {
        expect(valueAt(addDims(a, b), at)).toBe(valueAt(a, at) + valueAt(b, at));
        expect(valueAt(multiplyDims(a, b), at)).toBe(valueAt(a, at) * valueAt(b, at));
      }),
    );
  });

  test("equal polynomials are one object, in whatever order they are computed", () => {
    fc.assert(
      fc.property(dim, dim, dim, (a, b, c) => {
        expect(addDims(a, b)).toBe(addDims(b, a));
        expect(multiplyDims(a, b)).toBe(multiplyDims(b, a));
        expect(addDims(addDims(a, b), c)).toBe(addDims(a, addDims(b, c)));
        expect(multiplyDims(a, addDims(b, c))).toBe(addDims(multiplyDims(a, b), multiplyDims(a, c)));
        expect(addDims(a, multiplyDims(-1, a))).toBe(0);
      }),
    );
  });

  test("divideDims inverts multiplyDims", () => {
    fc.assert(
      fc.property(dim, dim, (a, b) => {
        expect(divideDims(multiplyDims(a, b), b)).toBe(b === 0 ? undefined : a);
      }),
    );
  });

  test("divideDims returns a quotient whose product with the divisor is the dividend", () => {
    fc.assert(
      fc.property(dim, dim, (a, b) => {
        const quotient = divideDims(a, b);
        if (quotient !== undefined) expect(multiplyDims(quotient, b)).toBe(a);
      }),
    );
  });

  test("symbol parses the text of a dimension to the same dimension", () => {
    fc.assert(
      fc.property(dim, (a) => {
        if (isSymbolic(a)) expect(symbol(a.text)).toBe(a);
      }),
    );
  });

  test("symbol parses a polynomial that first occurred as a name", () => {
    const width = symbol("2*width + 4");
    expect(divideDims(width, 2)).toBe(symbol("width + 2"));
    expect(addDims(width, -4)).toBe(multiplyDims(2, symbol("width")));
  });

  test("dimText writes a normal form: highest degree first, the constant last", () => {
    expect(dimText(addDims(addDims(1, seq), multiplyDims(seq, multiplyDims(2, batch))))).toBe("2*batch*seq + seq + 1");
    expect(dimText(addDims(multiplyDims(-1, seq), -3))).toBe("-seq - 3");
    expect(dimText(symbol("1 + seq"))).toBe("seq + 1");
    expect(dimText(symbol("seq*2"))).toBe("2*seq");
  });

  test("symbol keeps texts that are not polynomials as names", () => {
    for (const text of [
      "height/2",
      "batch size",
      "floor((2*seq + 1)/2)",
      "0.5*h",
      "batch-size",
      "?",
      "a + ",
      "*",
      "a**b",
    ]) {
      expect(symbol(text).text).toBe(text);
      expect(symbol(text)).toBe(symbol(text));
    }
    expect(divideDims(multiplyDims(symbol("floor((2*h + 1)/2)"), symbol("c")), symbol("c"))).toBe(
      symbol("floor((2*h + 1)/2)"),
    );
  });

  test("symbol rejects an empty name", () => {
    expect(() => symbol("")).toThrow("needs a name");
  });

  test("divideDims returns undefined without an exact quotient", () => {
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims(5, 0)).toBeUndefined();
    expect(divideDims(0, 0)).toBeUndefined();
    expect(divideDims(addDims(seq, 1), seq)).toBeUndefined();
    expect(divideDims(multiplyDims(3, seq), 2)).toBeUndefined();
    expect(divideDims(batch, seq)).toBeUndefined();
    expect(divideDims(3, batch)).toBeUndefined();
    expect(divideDims(seq, addDims(seq, 1))).toBeUndefined();
  });

  test("divideDims of zero by a nonzero dimension is zero", () => {
    expect(divideDims(0, seq)).toBe(0);
    expect(divideDims(0, 4)).toBe(0);
  });

  test("divideDims divides by a sum that is a factor", () => {
    const total = addDims(past, seq);
    expect(divideDims(multiplyDims(multiplyDims(batch, total), 768), multiplyDims(batch, total))).toBe(768);
  });

  test("elementCount is the product of the dimensions, and 1 for a scalar", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([2, 0, 4])).toBe(0);
    expect(elementCount([batch, 3, seq, 2])).toBe(symbol("6*batch*seq"));
    expect(elementCount([batch, 0])).toBe(0);
  });

  test("fixedDims requires numbers for all dimensions", () => {
    expect(fixedDims([1, 2])).toEqual([1, 2]);
    expect(fixedDims([])).toEqual([]);
    expect(fixedDims([1, batch])).toBeUndefined();
    expect(fixedDims(undefined)).toBeUndefined();
  });

  test("sameDims compares axis by axis", () => {
    expect(sameDims([batch, 2], [symbol("batch"), 2])).toBe(true);
    expect(sameDims([batch, 2], [2, batch])).toBe(false);
    expect(sameDims([2], [2, 1])).toBe(false);
  });

  test("dimsText shows the dimensions, or ? for an unknown rank", () => {
    expect(dimsText([batch, 3])).toBe("[batch, 3]");
    expect(dimsText([])).toBe("[]");
    expect(dimsText(undefined)).toBe("?");
  });

  test("stridesOf gives row-major strides", () => {
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
    expect(stridesOf([])).toEqual([]);
  });
});

describe("dimValue and functions of dimensions", () => {
  const n = symbol("n");
  test.each<[string, Dim, number | undefined]>([
    ["a number", 7, 7],
    ["a name", n, 5],
    ["a polynomial", addDims(multiplyDims(3, multiplyDims(n, symbol("m"))), -1), 29],
    ["a rounded quotient", floorDims(addDims(n, 2), 4), 1],
    ["a quotient rounded up, times a name", multiplyDims(ceilDims(n, 4), symbol("m")), 4],
    ["a nested rounded quotient", floorDims(addDims(floorDims(n, 2), 1), symbol("m")), 1],
    ["a maximum", extremeDims("max", [n, symbol("m"), 3]), 5],
    ["a minimum of a maximum", extremeDims("min", [extremeDims("max", [n, 9]), symbol("m")]), 2],
    ["the length of a slice", symbol("slice(n, -3, -1, 1)"), 2],
    ["the length of a backward slice", symbol("slice(n, -1, -2147483648, -2)"), 3],
    ["a rounded product with a fraction", symbol("floor((n)*0.5)"), 2],
    ["a maximum of quotients", extremeDims("max", [symbol("(n*m)/(2)"), symbol("(n)/(m)")]), 5],
    ["a quotient", symbol("(n*m)/(2)"), 5],
    ["a name that looks like a quotient", symbol("height/2"), 8],
    ["an unknown name", addDims(n, symbol("other")), undefined],
    ["a function of an unknown name", floorDims(symbol("other"), 2), undefined],
    ["a name with parentheses", symbol("f(n)"), undefined],
  ])("dimValue evaluates %s", (_, given, expected) => {
    expect(dimValue(given, { n: 5, m: 2, "height/2": 8 })).toBe(expected);
  });

  test("dimValue equals an independent evaluation of the text", () => {
    const values = { batch: 3, seq: 4, past: 5, height: 9 };
    const big = { batch: 3n, seq: 4n, past: 5n, "floor((height - 1)/2)": 4n };
    fc.assert(fc.property(dim, (given) => dimValue(given, values) === Number(valueAt(given, big))));
  });

  test("extremeDims and floorDims give equal names to equal values, and simplify trivial ones", () => {
    const m = symbol("m");
    expect(extremeDims("max", [n, m])).toBe(extremeDims("max", [m, n, m]));
    expect(extremeDims("max", [n, 0])).toBe(n);
    expect(extremeDims("max", [addDims(n, -3), 0])).not.toBe(addDims(n, -3));
    expect(extremeDims("min", [n, n])).toBe(n);
    expect(extremeDims("max", [n, multiplyDims(3, n), addDims(n, 1)])).not.toBe(multiplyDims(3, n));
    expect(extremeDims("max", [n, multiplyDims(3, n)])).toBe(multiplyDims(3, n));
    expect(extremeDims("min", [n, addDims(n, m)])).toBe(n);
    expect(floorDims(multiplyDims(4, n), 2)).toBe(multiplyDims(2, n));
    expect(floorDims(7, 2)).toBe(3);
  });
});

describe("limits of dimension texts", () => {
  const sum = (count: number): Dim =>
    Array.from({ length: count }, (_, at) => symbol(`n${at}`)).reduce<Dim>(addDims, 1);

  test("makes repeatedly squared sums unknown, but equal for equal computations", () => {
    const squared = (): Dim =>
      Array.from({ length: 40 }).reduce<Dim>((dim) => multiplyDims(dim, addDims(dim, batch)), sum(6));
    const total = squared();
    expect(isUnknownDim(total)).toBe(true);
    expect(dimText(total).length).toBeLessThan(5000);
    expect(squared()).toBe(total);
    expect(multiplyDims(total, 1)).toBe(total);
    expect(dimValue(total, { batch: 2 })).toBeUndefined();
    expect(elementCount(Array.from({ length: 60 }, (_, at) => addDims(symbol(`a${at}`), symbol(`b${at}`))))).toSatisfy(
      isUnknownDim,
    );
  });

  test("makes high powers and nested functions unknown", () => {
    let power: Dim = batch;
    let halves: Dim = batch;
    for (let at = 0; at < 60; at++) {
      power = multiplyDims(power, power);
      halves = addDims(floorDims(halves, 3), ceilDims(halves, 2));
    }
    for (const dim of [power, halves]) expect(isUnknownDim(dim)).toBe(true);
  });

  test("writes out sums and products of realistic shapes", () => {
    const written = multiplyDims(sum(20), sum(10));
    expect(isUnknownDim(written)).toBe(false);
    expect(divideDims(written, sum(10))).toBe(sum(20));
  });

  test("ends an inexact division quickly", () => {
    const power = Array.from({ length: 60 }).reduce<Dim>((dim) => multiplyDims(dim, symbol("a")), 1);
    const divisor = Array.from({ length: 12 }, (_, at) => symbol(`b${at}`)).reduce<Dim>(
      (dim, name) => addDims(dim, multiplyDims(-1, name)),
      symbol("a"),
    );
    expect(divideDims(power, divisor)).toBeUndefined();
  });
});
