/** Tests layers at higher precision in place of a rejection, and bits that meet a file size. */
import { rmSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { ruinedModel } from "./ruined.ts";
import { json, pith } from "./run.ts";
import { hidden } from "./small-models.ts";

const { at, data, words } = ruinedModel();

describe("a layer that quantization ruins", () => {
  test("stays in float, with messages about the search, its reason and its cost", async () => {
    const { code, out, err } = await pith(...words("--scheme", "weights", ...data()));
    expect(code, err).toBe(0);
    expect(err).toMatch(/^\d+\.\d points lost, 1\.0 points allowed: looking for the layers with the largest error$/m);
    expect(out).toMatch(
      /^kept at higher precision to meet the goal \(1 layer, \+1\d\.\d kB, \d attempts?\):\n {2}fc2: kept in float; it causes [\d.]+ % of the error \(\+1\d\.\d kB\)$/m,
    );
    expect(out).toMatch(/^tested on: points\.csv \(267; 133 others chose the bits of layers\)$/m);
    rmSync(at("out.onnx"));
  });

  test("causes a rejection with --no-fallback, and is quantized with --force", async () => {
    const rejected = await pith(...words("--scheme", "weights", "--no-fallback", ...data()));
    expect(rejected).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_ACCURACY_LOST: .*The largest error comes from layer "fc2"/m),
    });
    const forced = await json(...words("--scheme", "weights", "--force", ...data()));
    expect(forced).toMatchObject({ code: 0, lost: expect.any(String) });
    expect(forced.fallback).toBeUndefined();
  });

  test("stays in float without data, by random inputs", async () => {
    expect(await json(...words("--scheme", "weights"))).toMatchObject({
      code: 0,
      fallback: { preciseLayers: [{ layer: "fc2" }] },
    });
  });
});

test("keeps no layer at higher precision if nothing is lost", async () => {
  await save(parseModel(hidden), at("sound.onnx"));
  const report = await json(
    "quantize",
    at("sound.onnx"),
    "--scheme",
    "weights",
    ...data(),
    "--force",
    "-o",
    at("sound.int8.onnx"),
  );
  expect(report).toMatchObject({ code: 0, verdict: { met: true } });
  expect(report.fallback).toBeUndefined();
});

test("states in the error if samples are too few or no layers meet the goal", async () => {
  const few = await pith(...words("--scheme", "weights", "--samples", "60", ...data()));
  expect(few).toMatchObject({
    code: 1,
    err: expect.stringContaining(
      "There are too few samples for both the search and the evaluation: 90 for the test are needed.",
    ),
  });
  const alone = await pith(...words("--scheme", "weights", "--layers", "fc2", ...data()));
  expect(alone).toMatchObject({
    code: 1,
    err: expect.stringMatching(/No choice of layers keeps the goal and makes the file smaller/),
  });
});

describe("--target-size", () => {
  test("chooses bits so that the file meets the size", async () => {
    const report = await json(...words("--target-size", "22kB", "--force"));
    expect(report).toMatchObject({ code: 0, written: at("out.onnx") });
    expect(statSync(at("out.onnx")).size).toBeLessThanOrEqual(22_000);
    const { changes } = report as { readonly changes: readonly { readonly bits: number }[] };
    expect(new Set(changes.map(({ bits }) => bits)).size).toBeGreaterThanOrEqual(1);
  });

  test("rejects a size that is too small, with the smallest one, and other schemes", async () => {
    const small = await pith(...words("--target-size", "1kB"));
    expect(small).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^E_UNSUPPORTED: No choice of bits fits 1\.0+ kB: the smallest file has [\d.]+ kB\./m),
    });
    const other = await pith(...words("--target-size", "20kB", "--scheme", "dynamic"));
    expect(other).toMatchObject({ code: 2, err: expect.stringContaining("it is for --scheme weights") });
  });
});
