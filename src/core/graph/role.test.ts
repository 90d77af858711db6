import { expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { parseRole, type Role, roleText } from "./role.ts";

const simple: readonly Role[] = [
  { kind: "parameter" },
  { kind: "buffer" },
  { kind: "mask" },
  { kind: "state" },
  { kind: "straight-through" },
];

test.each(simple)("roleText and parseRole convert $kind", (role) => {
  expect(roleText(role)).toBe(role.kind);
  expect(parseRole(role.kind)).toEqual(role);
});

test("roleText writes the name and the transposition of a tied role", () => {
  expect(roleText({ kind: "tied", name: "embedding.weight", transposed: false })).toBe("tied(embedding.weight)");
  expect(roleText({ kind: "tied", name: "embedding.weight", transposed: true })).toBe(
    "tied(embedding.weight, transposed)",
  );
});

test("parseRole reads tied roles as written, for any name", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (name, transposed) => {
      const role: Role = { kind: "tied", name, transposed };
      expect(parseRole(roleText(role))).toEqual(role);
    }),
  );
  for (const name of ["a, transposed", "a)", "tied(a)", "line\nbreak", "a, transposed, transposed"]) {
    for (const transposed of [true, false]) {
      expect(parseRole(roleText({ kind: "tied", name, transposed }))).toEqual({ kind: "tied", name, transposed });
    }
  }
});

test("roleText and parseRole convert the surrogate of a straight-through role", () => {
  expect(roleText({ kind: "straight-through", low: -1, high: 1 })).toBe("straight-through(low=-1, high=1)");
  expect(parseRole("straight-through( slope=1e-3 , low=-2.5)")).toEqual({
    kind: "straight-through",
    slope: 0.001,
    low: -2.5,
  });
  const setting = fc.option(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    { nil: undefined },
  );
  fc.assert(
    fc.property(setting, setting, setting, (slope, low, high) => {
      const stated = Object.entries({ slope, low, high }).filter(([, value]) => value !== undefined);
      const role: Role = { kind: "straight-through", ...Object.fromEntries(stated) };
      expect(parseRole(roleText(role))).toEqual(role);
    }),
  );
});

test.each([
  "straight-through()",
  "straight-through(low)",
  "straight-through(low=)",
  "straight-through(low=nan)",
  "straight-through(low=1e999)",
  "straight-through(low=1, low=2)",
  "straight-through(width=1)",
  "straight-through(low=-1 high=1)",
  "straight-through(low=-1",
])("parseRole rejects %j", (text) => {
  expect(parseRole(text)).toBeUndefined();
});

test.each(["", "Parameter", "masked", "tied", "tied(", "tied(a", " mask", "mask ", "toString"])(
  "parseRole rejects %j",
  (text) => {
    expect(parseRole(text)).toBeUndefined();
  },
);
