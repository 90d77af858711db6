/** The rules of verdicts hold for every format of weights: what is spoiled is refused, what cannot be compared is said, what is no smaller is not written. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { pith } from "./run.ts";
import { formats, testRefusals, testVerdicts, withSamples } from "./verdicts.ts";

const custom = shared("data/conformance/custom-ops/supres.onnx");
const out = join(temporaryFolder(), "out.onnx");

/** One with a scale for each output, one without codes, one that computes on integers. The others are among the slow tests. */
const quick = formats.filter(([name]) => ["8 bits", "float16", "dynamic"].includes(name));

testRefusals([...quick, ...withSamples]);
testVerdicts(quick);

test.skipIf(custom === undefined)("published networks with operators of others need --force", async () => {
  const words = ["quantize", "--scheme", "weights", custom ?? "", "-o", out];
  expect(await pith(...words)).toMatchObject({ code: 1, err: expect.stringContaining("--force writes it") });
  const { code, out: text } = await pith(...words, "--force");
  expect({ code, text }).toMatchObject({ code: 0, text: expect.stringContaining("not compared") });
});
