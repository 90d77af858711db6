import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDims,
  type Dim,
  dimsText,
  dimText,
  divideDims,
  elementCount,
  fixedDims,
  isSymbolic,
  multiplyDims,
  sameDims,
  stridesOf,
  symbol,
} from "./dims.ts";

const names = ["batch", "seq", "past", "floor((height - 1)/2)"] as const;

const leaf: fc.Arbitrary<Dim> = fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom(...names).map(symbol));

/** Sums and products of names and small numbers. */
const dim: fc.Arbitrary<Dim> = fc.letrec<{ dim: Dim }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => addDims(a, b)),
    fc.tuple(tie("dim"), tie("dim")).map(([a, b]) => multiplyDims(a, b)),
  ),
})).dim;

/** The value of a dimension's text, read independently of how dimensions compute. */
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
  test("sums and products have the value of their parts", () => {
    fc.assert(
      fc.property(dim, dim, values, (a, b, at) => {
        expect(valueAt(addDims(a, b), at)).toBe(valueAt(a, at) + valueAt(b, at));
        expect(valueAt(multiplyDims(a, b), at)).toBe(valueAt(a, at) * valueAt(b, at));
      }),
    );
  });

  test("equal polynomials are the same object, however they were made", () => {
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

  test("dividing inverts multiplying", () => {
    fc.assert(
      fc.property(dim, dim, (a, b) => {
        expect(divideDims(multiplyDims(a, b), b)).toBe(b === 0 ? undefined : a);
      }),
    );
  });

  test("a quotient times its divisor is the dividend", () => {
    fc.assert(
      fc.property(dim, dim, (a, b) => {
        const quotient = divideDims(a, b);
        if (quotient !== undefined) expect(multiplyDims(quotient, b)).toBe(a);
      }),
    );
  });

  test("the text of a dimension reads as that dimension", () => {
    fc.assert(
      fc.property(dim, (a) => {
        if (isSymbolic(a)) expect(symbol(a.text)).toBe(a);
      }),
    );
  });

  test("a text that was first met as a name computes as the polynomial it spells", () => {
    const width = symbol("2*width + 4");
    expect(divideDims(width, 2)).toBe(symbol("width + 2"));
    expect(addDims(width, -4)).toBe(multiplyDims(2, symbol("width")));
  });

  test("texts are written in normal form: highest degree first, the constant last", () => {
    expect(dimText(addDims(addDims(1, seq), multiplyDims(seq, multiplyDims(2, batch))))).toBe("2*batch*seq + seq + 1");
    expect(dimText(addDims(multiplyDims(-1, seq), -3))).toBe("-seq - 3");
    expect(dimText(symbol("1 + seq"))).toBe("seq + 1");
    expect(dimText(symbol("seq*2"))).toBe("2*seq");
  });

  test("texts that are no polynomials are names as they stand", () => {
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

  test("a name must not be empty", () => {
    expect(() => symbol("")).toThrow("needs a name");
  });

  test("what does not divide is undefined", () => {
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims(5, 0)).toBeUndefined();
    expect(divideDims(0, 0)).toBeUndefined();
    expect(divideDims(addDims(seq, 1), seq)).toBeUndefined();
    expect(divideDims(multiplyDims(3, seq), 2)).toBeUndefined();
    expect(divideDims(batch, seq)).toBeUndefined();
    expect(divideDims(3, batch)).toBeUndefined();
    expect(divideDims(seq, addDims(seq, 1))).toBeUndefined();
  });

  test("zero divided by anything else is zero", () => {
    expect(divideDims(0, seq)).toBe(0);
    expect(divideDims(0, 4)).toBe(0);
  });

  test("a sum divides what it is a factor of", () => {
    const total = addDims(past, seq);
    expect(divideDims(multiplyDims(multiplyDims(batch, total), 768), multiplyDims(batch, total))).toBe(768);
  });

  test("the number of elements is the product, one for a scalar", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([2, 0, 4])).toBe(0);
    expect(elementCount([batch, 3, seq, 2])).toBe(symbol("6*batch*seq"));
    expect(elementCount([batch, 0])).toBe(0);
  });

  test("dimensions are fixed only if all are numbers", () => {
    expect(fixedDims([1, 2])).toEqual([1, 2]);
    expect(fixedDims([])).toEqual([]);
    expect(fixedDims([1, batch])).toBeUndefined();
    expect(fixedDims(undefined)).toBeUndefined();
  });

  test("dimensions are the same axis by axis", () => {
    expect(sameDims([batch, 2], [symbol("batch"), 2])).toBe(true);
    expect(sameDims([batch, 2], [2, batch])).toBe(false);
    expect(sameDims([2], [2, 1])).toBe(false);
  });

  test("messages show the dimensions, or ? for an unknown rank", () => {
    expect(dimsText([batch, 3])).toBe("[batch, 3]");
    expect(dimsText([])).toBe("[]");
    expect(dimsText(undefined)).toBe("?");
  });

  test("strides step over the axes behind", () => {
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
    expect(stridesOf([])).toEqual([]);
  });
});
