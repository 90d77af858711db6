import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { allValues } from "../../core/graph/graph.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { storeComputed } from "./store.ts";

const quantized = async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 96]) -> (y: float32[batch, 96]) {
  a.weight: float32[96, 96] = random(seed 1)
  b.weight: float32[96, 96] = random(seed 2)
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`);
  await quantize(model, { scheme: "dynamic" });
  return model;
};

test("stores large quantized values in a file, which yields the same bytes", async () => {
  const [model, folder] = [await quantized(), temporaryFolder()];
  const expected = await encodeToBytes(model);
  await storeComputed(model, join(folder, "weights.onnx"), 1);
  const large = [...allValues(model.graph)].flatMap(({ tensor }) => (tensor && tensor.bytes > 2 ** 13 ? tensor : []));
  expect(large.map(({ stored }) => stored?.source.name.replace(/^.*[/\\]/, ""))).toEqual(
    large.map(() => "weights.onnx_data"),
  );
  expect(large.length).toBe(2);
  expect(await encodeToBytes(model)).toEqual(expected);
});

test("keeps small values in memory, and all values if the file cannot be written", async () => {
  const [model, folder] = [await quantized(), temporaryFolder()];
  await storeComputed(model, join(folder, "weights.onnx"));
  expect(await readdir(folder)).toEqual([]);
  await storeComputed(model, join(folder, "missing", "weights.onnx"), 1);
  for (const { tensor } of allValues(model.graph)) expect(tensor?.stored).toBeUndefined();
});
