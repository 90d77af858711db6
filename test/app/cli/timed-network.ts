/** A network to time. */
import { join } from "node:path";
import { afterAll, beforeAll, vi } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";

export const net = parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  weight: float32[64, 64] = random(seed 1)
  y = MatMul(x, weight)
}
`);

/** Saves the network into a folder of the test file. */
export function timedNetwork() {
  const folder = temporaryFolder();
  const model = join(folder, "net.onnx");
  beforeAll(() => save(net, model));
  afterAll(() => {
    vi.unstubAllEnvs();
  });
  return { folder, model };
}
