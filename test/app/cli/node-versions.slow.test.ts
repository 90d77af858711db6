/** Commands on other versions of Node: PITH_NODES lists their programs, separated as in PATH (default: the one that runs the tests). */
import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { save } from "../../../src/core/onnx/index.ts";
import { linear, network } from "../../../src/learn/nn/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { program } from "./run.ts";

const nodes = (process.env.PITH_NODES ?? process.execPath).split(delimiter);

test.each(nodes)("%s quantizes a model", { timeout: 120_000 }, async (node) => {
  const [model, out] = ["model.onnx", "small.onnx"].map((name) => join(temporaryFolder(), name)) as [string, string];
  await save(network({ fc: linear(64, 10) }, { input: ["batch", 64], seed: 1 }), model);
  // The job's process gets flags of V8, and one that a version does not have ends it.
  await promisify(execFile)(node, [program, "quantize", model, "--scheme", "dynamic", "--force", "-o", out]);
  expect(statSync(out).size).toBeGreaterThan(0);
});
