/** Sends Ctrl-C to the real program while it compresses a saved result. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { runUntilMark } from "./stopped.ts";

test("keeps the complete result without copies if it is stopped while it compresses them", async () => {
  const folder = temporaryFolder();
  const [source, out] = [join(folder, "wide.onnx"), join(folder, "small.onnx")];
  const wide = `opset 21
graph (x: float32[n, 2048]) -> (y: float32[n, 2048]) {
  w: float32[2048, 2048] = random(seed 1)
  y = MatMul(x, w)
}`;
  await save(parseModel(wide), source);
  const words = ["prune", source, "--amount", "50%", "--precompress", "br", "-o", out];
  const { code, err } = await runUntilMark(out, "SIGINT", words);
  expect(code).toBe(130);
  expect(err).toContain(`"${out}" is complete; its compressed copies are missing or of an earlier model.`);
  expect(existsSync(`${out}.br`)).toBe(false);
  expect(readdirSync(folder).toSorted()).toEqual(["small.onnx", "wide.onnx"]);
  expect((await open(out)).graph.nodeCount).toBe(1);
  expect(statSync(out).size).toBeGreaterThan(2 ** 22);
});
