import { expect, test } from "vitest";
import { Miss } from "../errors.ts";
import { noFasterText, type Speed, speedLines, speedRecord, timeRow } from "./speed.ts";

const uneven = { layers: 18, convolutions: 19, counts: [7, 9, 12, 24, 37, 45] };
const macsOf = (count: number, per = "batch") => ({ macs: { count, per } });
const text = (count: number, median: number, more: object = {}) =>
  noFasterText({ median }, { before: macsOf(100), changes: [], ...more }, macsOf(count));

test("half of the operations at the old speed is said, with the convolutions whose channels fill no whole blocks", () => {
  expect(text(48, 0.99, { uneven })).toBe(
    "48 % of the MACs, but 0.99 × as fast: 18 of 19 convolutions have a number of channels (7, 9, 12, 24, 37, …) that is no multiple of 16; the runtime computes them in blocks of 16 (8 without AVX-512), and a part of a block takes as long as a whole one: prune --structured --round-to 16 leaves whole blocks",
  );
});

test("layers that got slower are the reason where they were timed, and no reason is made up where none is known", () => {
  const changes = [0.6, 0.99, 1.5].map((speed, at) => ({ at: `${at}`, what: "", speed, decidedBy: "global" as const }));
  expect(text(86, 0.69, { changes })).toBe(
    "86 % of the MACs, but 0.69 × as fast: 2 of the 3 changed layers are slower than before",
  );
  expect(text(50, 1.1)).toBe("50 % of the MACs, but 1.10 × as fast: its time is spent elsewhere");
});

test("nothing is said where the gain is fair, the operations are nearly as many, or not comparable", () => {
  expect(text(50, 1.3, { uneven })).toBeUndefined();
  expect(text(95, 0.9, { uneven })).toBeUndefined();
  expect(text(120, 0.8)).toBeUndefined();
  expect(noFasterText({ median: 0.9 }, { before: macsOf(100), changes: [] }, macsOf(10, "n"))).toBeUndefined();
});

test("a speed beside the model that came in is a row, beside another file a line; one that was not measured says why and how", () => {
  const found: Speed = { median: 0.69, low: 0.67, high: 0.71, before: 1.21, milliseconds: 1.75, where: "Node" };
  expect(timeRow("a.onnx", { against: "a.onnx", found })).toEqual([
    ["time", "1.21 ms", "1.75 ms", "0.69 × (0.67–0.71)"],
  ]);
  expect(speedLines("a.onnx", "b.onnx", { against: "a.onnx", found })).toEqual([]);
  expect(timeRow("a.onnx", { against: "t.onnx", found })).toEqual([]);
  expect(speedLines("a.onnx", "b.onnx", { against: "t.onnx", found })).toEqual([
    "speed: 0.69 × (0.67–0.71) that of t.onnx",
  ]);
  const busy = { against: "a b.onnx", found: new Miss("the machine was too busy") };
  expect(timeRow("a b.onnx", busy)).toEqual([]);
  expect(speedLines("a b.onnx", "b.onnx", busy)).toEqual([
    `speed: not measured, the machine was too busy; pith bench 'a b.onnx' b.onnx measures it`,
  ]);
  expect(speedRecord(busy)).toEqual({ speed: { against: "a b.onnx", unmeasured: "the machine was too busy" } });
});
