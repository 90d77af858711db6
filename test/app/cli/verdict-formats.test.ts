/** Tests for every weight format that ruined results are rejected, incomparable ones require --force, and larger ones are not written. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";
import { formats, testRefusals, testVerdicts, withSamples } from "./verdicts.ts";

const custom = shared("data/conformance/custom-ops/supres.onnx");
const out = join(temporaryFolder(), "out.onnx");

/** A format with a scale per output, one without integers, and one with integer arithmetic. The others are slow tests. */
const quick = formats.filter(([name]) => ["8 bits", "float16", "dynamic"].includes(name));

testRefusals([...quick, ...withSamples]);
testVerdicts(quick);

test.skipIf(custom === undefined)("published networks with unknown operators require --force", async () => {
  const words = ["quantize", "--scheme", "weights", custom ?? "", "-o", out];
  expect(await pith(...words)).toMatchObject({ code: 1, err: expect.stringContaining("--force writes it") });
  const { code, out: text } = await pith(...words, "--force");
  expect({ code, text }).toMatchObject({ code: 0, text: expect.stringContaining("not compared") });
});
