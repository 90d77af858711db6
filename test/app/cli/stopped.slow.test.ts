/** Sends Ctrl-C while a large result is written. */
import { spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { program } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at, folder } = smallModels();

test("the real program leaves no temporary file if it is stopped while it saves", async () => {
  // The large table takes long to write, and only the small layer changes.
  const big = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2], unused: float32[2048, 8192]) {
  fc.weight: float32[2, 2] parameter = [[1, 0], [0, 1]]
  logits = Gemm "fc" (features, fc.weight) {transB=1}
  table: float32[2048, 8192] = random(seed 1)
  unused = Identity(table)
}
`;
  await save(parseModel(big), at("big.onnx"));
  const names = readdirSync(folder);
  const words = ["quantize", at("big.onnx"), "--scheme", "weights", "--force", "-o", at("big.out.onnx")];
  const child = spawn(process.execPath, [program, ...words]);
  let seen = false;
  const watch = setInterval(() => {
    // Ignores the empty file that checks whether the folder is writable.
    const saved = readdirSync(folder).filter((name) => name.endsWith(".tmp"));
    if (seen || !saved.some((name) => (statSync(at(name), { throwIfNoEntry: false })?.size ?? 0) > 0)) return;
    seen = true;
    child.kill("SIGINT");
    // After a second signal, the program does not wait for the job to end.
    setTimeout(() => child.kill("SIGINT"), 20);
  }, 2);
  const end = await new Promise((resolve) => child.on("close", (code, signal) => resolve(signal ?? code)));
  clearInterval(watch);
  expect(seen).toBe(true);
  // If the program was ending already, the second signal ends it.
  expect([130, "SIGINT"]).toContain(end);
  expect(readdirSync(folder).filter((name) => name !== "big.out.onnx")).toEqual(names);
});
