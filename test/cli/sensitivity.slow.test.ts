/** Tests `pith sensitivity` with several processes and stored measurements. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { filesIn } from "./compressing.ts";
import { pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  const dense = hidden.replaceAll(/\b0([,\]])/g, "0.01$1");
  await save(parseModel(dense), at("dense.onnx"));
});

test("gives the same results for any --jobs, and reuses measurements", async () => {
  const words = (out: string, ...more: readonly string[]): string[] => [
    ...["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "--kinds", "prune,bits", "-o", at(out), ...more],
  ];
  const [serialRun, parallelRun] = [await pith(...words("one")), await pith(...words("two", "--jobs", "2"))];
  expect(serialRun.code, serialRun.err).toBe(0);
  expect(parallelRun.code, parallelRun.err).toBe(0);
  const readFindings = (out: string) => {
    const { seconds: _, written: __, ...rest } = JSON.parse(readFileSync(join(at(out), "sensitivity.json"), "utf8"));
    return rest;
  };
  expect(readFindings("two")).toEqual(readFindings("one"));
  for (const name of ["prune.yaml", "bits.yaml"])
    expect(readFileSync(join(at("two"), name))).toEqual(readFileSync(join(at("one"), name)));
  const records = (out: string) => filesIn(join(at(out), "pith-steps"));
  expect(records("two")).toEqual(records("one"));
  const again = await pith(...words("two", "--minutes", "0.0001"));
  expect(again.code, again.err).toBe(0);
  expect(readFindings("two")).toEqual(readFindings("one"));
});

test("writes recipes for a budget of multiply-accumulates, and warns if it is out of reach", async () => {
  const out = at("macs");
  const words = ["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "-o", out, "--kinds", "channels,bits"];
  const { code, err } = await pith(...words, "--cost", "macs", "--budget", "1%");
  expect(code, err).toBe(0);
  // Fewer bits do not reduce the number of operations.
  expect(filesIn(out)).toEqual(["channels.yaml", "sensitivity.html", "sensitivity.json"]);
  const [, remainingPercent] =
    /leave (\d+) % of the multiply-accumulates/.exec(readFileSync(join(out, "channels.yaml"), "utf8")) ?? [];
  expect(err).toContain(
    `channels.yaml leaves ${remainingPercent} % of the multiply-accumulates, more than the 1 % of --budget: harsher settings were not measured`,
  );
});
