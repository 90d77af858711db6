/** Arrays of any shape fit an input of any shape exactly, by a stated rule, or not at all. */
import { describe, it } from "vitest";
import { elementCount, symbol } from "../../src/core/tensor/dims.ts";
import { expectUnchanged, otherDims } from "../generated/promises/arrays.ts";
import fc from "../property.ts";

const size = fc.integer({ min: 1, max: 6 });
const sizes = fc.array(size, { maxLength: 4 });

describe("arrays and inputs", () => {
  it("never reshapes an array, for 300 shapes of inputs", () => {
    const property = fc.property(
      fc.option(size, { nil: symbol("batch") }),
      sizes,
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      sizes,
      fc.nat(),
      (batch, sample, open, other, seed) => {
        const dims = sample.map((dim, axis) => (open[axis] === true ? symbol(`axis${axis}`) : dim));
        for (const declared of [[batch, ...dims], dims]) {
          const input = { name: "input", type: { type: "float64", dims: declared } } as const;
          for (const array of [...otherDims(sample, seed), other, [elementCount(other)]])
            expectUnchanged(input, [typeof batch === "number" ? batch : 5, ...array]);
        }
      },
    );
    fc.assert(property, { numRuns: 300 });
  });
});
