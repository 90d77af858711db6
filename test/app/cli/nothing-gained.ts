import { existsSync, rmSync } from "node:fs";
import { expect } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";

/** Runs the command on a model nearly all of which it cannot make smaller, which is written to `file`. */
export async function expectNothingGained(file: string, [command = "", ...options]: readonly string[]): Promise<void> {
  const words = [command, ...options] as const;
  const text = `opset 21
graph (features: float32[batch, 8]) -> (logits: float32[batch, 8], unused: float32[256, 256]) {
  fc.weight: float32[8, 8] parameter = random(seed 1)
  logits = Gemm "fc" (features, fc.weight) {transB=1}
  table: float32[256, 256] = random(seed 2)
  unused = Identity(table)
}
`;
  const model = parseModel(text);
  // Every pass drops the export metadata, so these bytes do not count as a gain of the pass.
  for (const node of model.graph.nodes())
    node.metadata = new Map([["pkg.torch.onnx.stack_trace", "model.py ".repeat(20_000)]]);
  await save(model, file);
  const out = `${file}.out.onnx`;
  const { code, err } = await pith(...words, file, "-o", out);
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringMatching(
      /^E_UNSUPPORTED: Nothing was gained: the file is not smaller \(1\.00 ×\) than the original without the exporter's metadata, which `pith simplify` drops\. Nothing was written\.\nhint: --force writes it\.\n$/m,
    ),
  });
  expect(existsSync(out)).toBe(false);
  expect(await json(...words, file, "-o", out, "--force")).toMatchObject({ code: 0, written: out });
  rmSync(out);
  rmSync(file);
}
