import { describe, expect, test } from "vitest";
import type { Change } from "../../../core/pass/pass.ts";
import { formatChanged, formatPreciseLayers, formatUnchanged, plannedRows } from "./changes.ts";

const plain = (text: string): string => text;
const change = (at: string, what: string, _speed?: number): Change => ({ at, what, decidedBy: "global" });

test("quotes names that look like numbers", () => {
  const change = { kind: "rounded", what: "weight in 8 bits", decidedBy: "global" } as const;
  const lines = (...names: string[]) =>
    formatChanged(
      names.map((at) => ({ at, ...change })),
      (text) => text,
    );
  expect(lines("380", "388")).toEqual(["changed (2):", '  "380" and "388": weight in 8 bits']);
  expect(lines("conv1", "380", "388", "5")).toEqual(["changed (4):", '  conv1, "380" and 2 more: weight in 8 bits']);
});

test("lists a layer once if it changed in several branches", () => {
  const changes = ["conv1", "conv2", "conv1"].map((at) => change(at, "weight in 8 bits"));
  expect(formatChanged(changes, plain)).toEqual(["changed (2):", "  conv1 and conv2: weight in 8 bits"]);
});

test("shows the changes of the most layers first if not all can be shown", () => {
  const scaled = Array.from({ length: 7 }, (_, index) => change(`conv${index}`, `scaled by ${index}`));
  const stored = Array.from({ length: 7 }, (_, index) => change(`conv${index}`, "weight as int4"));
  const lines = formatChanged([...scaled, ...stored], plain);
  expect(lines.slice(0, 3)).toEqual([
    "changed (14):",
    "  conv0, conv1 and 5 more: weight as int4",
    "  conv0: scaled by 0",
  ]);
  expect(lines.at(-1)).toBe("  and 3 more (--json has all)");
});

test("joins equal changes", () => {
  expect(formatChanged([change("a", "x"), change("b", "x"), change("c", "x"), change("d", "x")], plain)).toEqual([
    "changed (4):",
    "  a, b and 2 more: x",
  ]);
  expect(formatChanged([], plain)).toEqual([]);
  expect(formatUnchanged([{ at: undefined, reason: "none" }], plain)).toEqual(["unchanged (1):", "  none"]);
});

test("lists layers kept at higher precision by error, the largest first", () => {
  const layer = (name: string, share: number | undefined, bytes: number) => ({ layer: name, bits: 8, share, bytes });
  const preciseLayers = [layer("big", 0.01, 9000), layer("last", undefined, 5000), layer("worst", 0.6, 1000)];
  expect(
    formatPreciseLayers(
      { preciseLayers: [...preciseLayers, { ...layer("nan", Infinity, 1), bits: undefined }], attempts: [] },
      plain,
    ),
  ).toEqual([
    "kept at higher precision to meet the goal (4 layers, +15.0 kB, 0 attempts):",
    "  nan: kept in float; it causes values that are not finite (+1 byte)",
    "  worst: kept at 8 bits; it causes 60 % of the error (+1.00 kB)",
    "  big: kept at 8 bits; it causes 1 % of the error (+9.00 kB)",
    "  last: kept at 8 bits; these layers together meet the goal (+5.00 kB)",
  ]);
});

test("joins layers that stay unchanged for the same reason into one line", () => {
  const norms = ["a", "b", "c", "d"].map((at) => ({ at, reason: "no", by: `norm of ${at}` }));
  expect(formatUnchanged([...norms, { at: "e", reason: "no" }, { at: "f", reason: "other", by: "y" }], plain)).toEqual([
    "unchanged (6):",
    "  a, b and 3 more: no (norm of a, norm of b and 2 more)",
    "  f: other (y)",
  ]);
});

describe("plannedRows", () => {
  test("has a row for each of few layers, and joins many with equal changes", () => {
    const few = Array.from({ length: 8 }, (_, at) => change(`layer.${at}.conv`, "8 of 16 channels cut"));
    expect(plannedRows(few)).toEqual({ rows: few.map(({ at, what }) => [at, what, ""]), omittedCount: 0 });
    const trained = Array.from({ length: 9 }, (_, at) => change(`w${at}`, "trained"));
    const perLayer: Change = { at: "fc", what: "trained", decidedBy: "layer" };
    expect(plannedRows([change("a", "x"), ...trained, perLayer]).rows).toEqual([
      ["a", "x", ""],
      ["w0, w1 and 7 more", "trained", ""],
      ["fc", "trained", "layer"],
    ]);
  });

  test("joins equal layers of repeated blocks, in the order of the network", () => {
    const blocks = Array.from({ length: 12 }, (_, at) => [
      change(`h.${at}.q`, "1,152 of 2,304 pruned"),
      change(`h.${at}.up`, at === 3 ? "4 pruned" : "4,608 of 9,216 pruned"),
    ]);
    expect(plannedRows([...blocks.flat(), change("head", "5 pruned")]).rows).toEqual([
      ["h.0…11.q", "1,152 of 2,304 pruned", ""],
      ["h.0…2,4…11.up", "4,608 of 9,216 pruned", ""],
      ["h.3.up", "4 pruned", ""],
      ["head", "5 pruned", ""],
    ]);
  });

  test("shortens a long list of layer numbers", () => {
    const convolutions = Array.from({ length: 9 }, (_, at) => change(`conv_${3 * at}`, "8 bits"));
    expect(plannedRows(convolutions).rows).toEqual([["conv_0,3,6,…,24", "8 bits", ""]]);
  });

  test("shows the first 40 of many different changes, and counts the others", () => {
    const many = Array.from({ length: 81 }, (_, at) => change(`h.${at}.q`, `${at} pruned`));
    const { rows, omittedCount } = plannedRows(many);
    expect([rows.length, rows.at(-1), omittedCount]).toEqual([40, ["h.39.q", "39 pruned", ""], 41]);
  });
});
