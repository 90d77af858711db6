/** Messages for invalid options: all passes parse their options with `parseOptions`. */
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { PithError } from "../errors.ts";
import { parseOptions } from "./option-errors.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const schema = v.strictObject({
  scheme: v.picklist(["static", "dynamic"]),
  learningRate: v.optional(v.number()),
  epochs: v.optional(count),
  share: v.optional(v.pipe(v.number(), v.ltValue(1, "must be below 1"))),
  inner: v.optional(v.strictObject({ crop: v.optional(count) })),
  model: v.optional(v.string()),
  kind: v.optional(v.picklist(["a", "b", "c"])),
});

function refused(options: unknown): { readonly message: string; readonly hint: string | undefined } {
  try {
    parseOptions("tune", schema, options);
  } catch (error) {
    if (error instanceof PithError && error.code === "E_OPTION") return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error("The options were accepted.");
}

describe("parseOptions on an unknown option", () => {
  test("lists the options and suggests the nearest", () => {
    expect(refused({ scheme: "static", lerningRate: 1 })).toEqual({
      message: 'tune has no option "lerningRate"; it has scheme, learningRate, epochs, share, inner, model, kind.',
      hint: 'Did you mean "learningRate"?',
    });
  });

  test("suggests the missing option that was misspelled", () => {
    expect(refused({ schem: "static" })).toMatchObject({ hint: 'Did you mean "scheme"?' });
  });

  test("lists the nested options", () => {
    expect(refused({ scheme: "static", inner: { corp: 4 } })).toEqual({
      message: 'tune: "inner.corp": "corp" is not known here, only crop.',
      hint: 'Did you mean "crop"?',
    });
  });

  test("suggests nothing if no option is similar", () => {
    expect(refused({ scheme: "static", zzzzzz: 4 }).hint).toBeUndefined();
  });
});

test.each([
  [{}, 'tune: "scheme" is missing: expected "static" or "dynamic".', undefined],
  [{ scheme: "statc" }, 'tune: "scheme": expected "static" or "dynamic", got "statc".', 'Did you mean "static"?'],
  [{ scheme: "static", epochs: 0 }, 'tune: "epochs": expected at least 1, got 0.', undefined],
  [
    { scheme: "static", epochs: Number.POSITIVE_INFINITY },
    'tune: "epochs": expected an integer, got Infinity.',
    undefined,
  ],
  [{ scheme: "static", share: Number.NaN }, 'tune: "share": expected a number, got NaN.', undefined],
  [{ scheme: "static", model: [Number.NaN] }, 'tune: "model": expected a text, got ["NaN"].', undefined],
  [{ scheme: "static", epochs: 1.5 }, 'tune: "epochs": expected an integer, got 1.5.', undefined],
  [{ scheme: "static", share: 2 }, 'tune: "share": must be below 1, got 2.', undefined],
  [{ scheme: "static", inner: { crop: "4" } }, 'tune: "inner.crop": expected a number, got "4".', undefined],
  // Values that JSON cannot represent, or only at length, are shown by their type.
  [{ scheme: "static", model: new Map() }, 'tune: "model": expected a text, got [object Map].', undefined],
  [{ scheme: "static", model: { big: 1n } }, 'tune: "model": expected a text, got { big }.', undefined],
  [{ scheme: "static", kind: 3 }, 'tune: "kind": expected "a", "b" or "c", got 3.', undefined],
  [3, "tune: expected an object.", undefined],
])("parseOptions rejects %o with a message", (options, message, hint) => {
  expect(refused(options)).toEqual({ message, hint });
});
