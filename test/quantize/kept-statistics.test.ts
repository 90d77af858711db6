/** Statistics that a search reuses while it quantizes one model with other layers in float. */
import { expect, test } from "vitest";
import { memory } from "../../src/data/index.ts";
import type { Dataset } from "../../src/data/types.ts";
import { parseModel } from "../../src/graph/text.ts";
import { encodeToBytes } from "../../src/onnx/index.ts";
import { completeContext } from "../../src/passes/pass.ts";
import { quantize } from "../../src/quantize/index.ts";
import { float32 } from "../../src/tensor/dense.ts";
import { random } from "../../src/tensor/random.ts";

const model = parseModel(`opset 21
graph (x: float32[batch, 16]) -> (y) {
  gamma: float32[16] = random(seed 1, from 0.5 to 1.5)
  beta: float32[16] = random(seed 2, from -0.5 to 0.5)
  up.weight: float32[16, 24] = random(seed 3)
  down.weight: float32[24, 8] = random(seed 4)
  n = LayerNormalization (x, gamma, beta) {axis=-1}
  u = MatMul "up" (n, up.weight)
  r = Relu (u)
  y = MatMul "down" (r, down.weight)
}`);

const numbers = random(5);
const values = Float32Array.from({ length: 40 * 16 }, () => numbers.normal());
const samples = (): Dataset => memory("rows", { x: float32([40, 16], values) });

async function quantized(data: Dataset): Promise<{ readonly bytes: Uint8Array; readonly sessions: number }> {
  const { engine } = completeContext();
  let sessions = 0;
  const counting = {
    ...engine,
    load: (...given: Parameters<typeof engine.load>) => {
      sessions++;
      return engine.load(...given);
    },
  };
  const result = model.clone();
  await quantize(result, { scheme: "static", data, overrides: { up: { float: true } } }, { engine: counting });
  return { bytes: await encodeToBytes(result), sessions };
}

test("gives the same bytes with statistics of an earlier attempt, from fewer runs", async () => {
  const alone = await quantized(samples());
  const data = samples();
  await quantize(model.clone(), { scheme: "static", data });
  const after = await quantized(data);
  expect(after.bytes).toEqual(alone.bytes);
  expect(after.sessions).toBeLessThan(alone.sessions);
});
