import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { parseModel } from "../../core/graph/text.ts";
import { save } from "../../core/onnx/index.ts";
import { estimateTabMemory } from "./tab-memory.ts";

const runtimeBytes = 25e6;

it("counts weights in the .onnx file three times, other weights once, and the download", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 512]) -> (y: float32[batch, 512]) {
  w: float32[512, 512] = random(seed 1)
  y = MatMul(x, w)
}`);
  const folder = temporaryFolder();
  const weights = 4 * 512 * 512;
  const [inline, external] = ["inline.onnx", "external.onnx"].map((name) => join(folder, name));
  await save(model, inline ?? "");
  await save(model, external ?? "", { externalData: true });
  expect(await estimateTabMemory(inline ?? "", weights)).toEqual({ memory: runtimeBytes + 4 * weights });
  const { memory = 0 } = await estimateTabMemory(external ?? "", weights);
  expect(memory).toBe(runtimeBytes + 2 * weights + 2 * 4 * 512);
  expect((await stat(external ?? "")).size).toBeLessThan(weights);
});

it("counts a cache of 896 tokens and the values of 128, and names values above 128 MiB", async () => {
  const model = parseModel(`opset 21
graph (input_ids: int64[batch_size, sequence_length], past_key_values.0.key: float32[batch_size, 1, past_sequence_length, 8])
    -> (logits: float32[batch_size, sequence_length, 300000], present.0.key: float32[batch_size, 1, total_sequence_length, 8]) {
  table: float32[16, 1] = random(seed 1)
  head: float32[1, 300000] = random(seed 2)
  keys: float32[1, 8] = random(seed 3)
  one: int64[1] = [1]
  h = Gather(table, input_ids)
  k3 = MatMul(h, keys)
  k = Unsqueeze(k3, one)
  present.0.key = Concat(past_key_values.0.key, k) {axis=2}
  logits = MatMul(h, head)
}`);
  const path = join(temporaryFolder(), "model.onnx");
  await save(model, path);
  const { memory = 0, oversized } = await estimateTabMemory(path, 0);
  expect(oversized).toEqual(["logits (154 MB)"]);
  const stored = 4 * (16 + 300_000 + 8) + 8;
  const values = 8 * 128 + 4 * 8 * (896 + 1024) + 4 * 128 * 300_000 + 4 * 128;
  expect(memory).toBe(runtimeBytes + stored + values);
});
