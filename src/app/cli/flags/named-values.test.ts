import { expect, test } from "vitest";
import { parseModel } from "../../../core/graph/text.ts";
import { float32 } from "../../../core/tensor/dense.ts";
import { firstBatch } from "../../../data/batches/select.ts";
import { memory } from "../../../data/index.ts";
import { toConstantTensors, withConstantInputs } from "../../../judge/task/constant-inputs.ts";
import { parseSettings } from "./named-values.ts";

test("settings accepts several values as separate words or with semicolons, and rejects other text", () => {
  expect(parseSettings(["rate=16000", "mask=1", "0", "1", "use_cache=true"])).toEqual({
    rate: 16000,
    mask: [1, 0, 1],
    use_cache: 1,
  });
  expect(parseSettings(["mask=1;0;1"])).toEqual({ mask: [1, 0, 1] });
  expect(() => parseSettings(["mask"])).toThrow('--set: expected input=number, got "mask".');
  expect(() => parseSettings(["mask=1", "0", "x"])).toThrow('--set: expected input=number, got "mask=1,0,x".');
});

const model = parseModel(`opset 21
graph (x: float32[batch, 2], sr: int64[], mask: bool[3], gain: float32[2]) -> (y: float32[batch, 2]) {
  y = Mul(x, gain)
}`);

test("withContents gives each sample the set values, and repeats a single value over all elements", async () => {
  const fixed = toConstantTensors(model, parseSettings(["sr=16000", "mask=true", "false", "1", "gain=0.5"]));
  const dataset = withConstantInputs(memory("two", { x: float32([2, 2], [1, 2, 3, 4]) }), fixed);
  expect(await firstBatch(dataset, 2)).toEqual({
    x: float32([2, 2], [1, 2, 3, 4]),
    sr: { type: "int64", dims: [2], data: BigInt64Array.of(16000n, 16000n) },
    mask: { type: "bool", dims: [2, 3], data: Uint8Array.of(1, 0, 1, 1, 0, 1) },
    gain: float32([2, 2], [0.5, 0.5, 0.5, 0.5]),
  });
});

test("withContents returns the same data set if nothing is set", () => {
  const dataset = memory("two", { x: float32([2, 2], [1, 2, 3, 4]) });
  expect(withConstantInputs(dataset, toConstantTensors(model, {}))).toBe(dataset);
});

test.each([
  ["rate=1", "E_NAME", 'no input "rate"'],
  ["sr=0.5", "E_TYPE_MISMATCH", "int64, got 0.5"],
  ["gain=1;2;3", "E_SHAPE_MISMATCH", "float32[2], got 3 numbers"],
  ["x=1;2", "E_SHAPE_MISMATCH", "no fixed size"],
])("rejects %s", (word, code, message) => {
  expect(() => toConstantTensors(model, parseSettings([word]))).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});
