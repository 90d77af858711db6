import { readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { capitalize } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { decibelsLegend } from "../../../src/judge/record/verdict.ts";
import { json, pith } from "./run.ts";
import { classifier, hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

test("warns of models that are equal byte for byte", async () => {
  await copyFile(at("hidden.onnx"), at("copy.onnx"));
  const same = `same: "${at("copy.onnx")}" and "${at("hidden.onnx")}" are the same, byte for byte.`;
  for (const words of [
    ["debug", at("hidden.onnx"), at("copy.onnx")],
    ["bench", at("hidden.onnx"), at("copy.onnx"), "--rounds", "1"],
    ["eval", at("copy.onnx"), "--original", at("hidden.onnx"), "--data", at("points.csv")],
  ])
    expect((await pith(...words)).err).toContain(same);
  await save(parseModel(hidden.replace("[0, 0.5]]", "[0, 0.4]]")), at("spoiled.onnx"));
  expect((await pith("debug", at("hidden.onnx"), at("spoiled.onnx"))).err).not.toContain("byte for byte");
});

test("reports swapped models", async () => {
  const [original, result] = [at("hidden.onnx"), at("hidden.int8.onnx")];
  expect((await pith("quantize", original, "--scheme", "weights", "-o", result, "--force")).code).toBe(0);
  expect((await pith("debug", result, original)).err).toContain(`Did you mean: pith debug ${original} ${result}\n`);
  expect((await pith("debug", original, result)).err).not.toContain("swapped");
});

test("the original is --original or the first of two models", async () => {
  const [original, result] = [at("right.onnx"), at("near.onnx")];
  const { out } = await pith("debug", result, "--original", original);
  expect(out).toContain(`${result} compared with ${original}`);
  expect((await pith("debug", original, result)).out).toBe(out);
  expect(await pith("debug", result)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^E_USAGE: debug compares one model with its original, and got 1 model\./),
  });
});

test("lists the layer with the largest error first, with its error alone and after all layers before", async () => {
  await save(parseModel(hidden.replace("[0, 0.5]]", "[0, 0.4]]")), at("spoiled.onnx"));
  const out = at("debug.html");
  const words = ["debug", at("hidden.onnx"), at("spoiled.onnx"), "-o", out];
  for (const data of [[], ["--data", at("points.csv")]]) {
    const report = await json(...words, ...data);
    expect(report).toMatchObject({ code: 0, blamed: "fc1", misses: [] });
    const [first, second] = report.layers as { own: number | null; signalToNoise: number; share: number }[];
    expect(first).toMatchObject({ layer: "fc1", share: 1 });
    // JSON has no infinity; the second layer equals the original's.
    expect(second).toMatchObject({ layer: "fc2", own: null });
    expect(Number.isFinite(second?.signalToNoise)).toBe(true);
  }
  const { out: text } = await pith(...words, "--data", at("points.csv"));
  expect(text).toContain(
    `${at("spoiled.onnx")} compared with ${at("hidden.onnx")}, on ${at("points.csv")}, 32 samples\n`,
  );
  expect(text).toMatch(
    /\nlayer +alone +with all before +share of error\nfc1 +Gemm +[\d.]+ dB .* 100\.0 %\nfc2 +Gemm +equal .* –\n/,
  );
  expect(text).toContain(
    `${decibelsLegend}\nalone: signal to noise of the layer's output if only this layer is changed `,
  );
  expect(text).toContain("with all before: the same if all layers before it are changed, too");
  expect(text).toMatch(
    /\nThe largest error comes from layer "fc1" \(100 % of the error, if only it is changed\)\.\nnext: if that is too much, make \S+ again with --except fc1/,
  );
  const page = readFileSync(out, "utf8");
  expect(page).toContain(capitalize(decibelsLegend));
  expect(page).toContain("<title>fc1 (Gemm): alone ");
  expect(page).not.toMatch(/<script|https?:/);
});

test("states the inputs of the values, and warns that random inputs are not real samples", async () => {
  const words = ["debug", at("right.onnx"), at("near.onnx")];
  const random = await pith(...words);
  expect(random.out).toContain(`compared with ${at("right.onnx")}, on random inputs, seed 0\n`);
  expect(random.err).toContain("the values are for random inputs: on real samples, ");
  const { err } = await pith(...words, "--data", at("points.csv"));
  expect(err).not.toContain("random inputs");
});

test("lists layers without comparable outputs jointly, and states what their values include", async () => {
  const [pruned, page] = [at("cut.onnx"), at("cut.html")];
  expect((await pith("prune", at("hidden.onnx"), "--structured", "50%", "-o", pruned, "--force")).code).toBe(0);
  const words = ["debug", at("hidden.onnx"), pruned, "--data", at("points.csv"), "-o", page];
  const { out } = await pith(...words);
  const note = "“and … before”: those layers cannot be compared individually; the values are for all of them jointly.";
  expect(out).toMatch(/^fc2 and 1 before +Gemm +[−\d]/m);
  expect(out).toContain(`${note}\n`);
  expect(readFileSync(page, "utf8")).toContain(note);
  expect(readFileSync(page, "utf8")).toContain('<span class="name">fc2 and 1 before</span>');
  const textReport = await pith("debug", at("hidden.onnx"), at("spoiled.onnx"), "--data", at("points.csv"));
  expect(textReport.out).not.toContain("before”");
});

test("reports no differing layer for a model and itself", async () => {
  const { code, out } = await pith("debug", at("right.onnx"), at("right.onnx"));
  expect({ code, out }).toMatchObject({
    code: 0,
    out: expect.stringContaining("same outputs as in the original: 1 layer\nNo layer differs."),
  });
});

test("fails without an internal error for other inputs, and for a file without a model", async () => {
  await save(parseModel(classifier("[[1, 0], [0, 1]]").replaceAll("features", "points")), at("other.onnx"));
  const { code, err } = await pith("debug", at("right.onnx"), at("other.onnx"));
  expect(code).toBe(1);
  expect(err).not.toContain("internal:");
  const { code: unreadable } = await pith("debug", at("right.onnx"), at("points.csv"));
  expect(unreadable).toBe(1);
});

test("rejects a model without any layer of the original, but not a pruned one", async () => {
  const turned = hidden
    .replace("[[1, 0], [0, 1], [0.5, 0], [0, 0.5]]", "[[0, 1], [1, 0], [0, 0.5], [0.5, 0]]")
    .replace("[[1, 0, 1, 0], [0, 1, 0, 1]]", "[[0, -1, 0, -1], [-1, 0, -1, 0]]");
  const renamed = turned
    .replace(/fc(?=\d)/g, "other")
    .replaceAll("between", "middle")
    .replaceAll("logits", "scores");
  for (const [name, text] of Object.entries({ "turned.onnx": turned, "renamed.onnx": renamed })) {
    await save(parseModel(text), at(name));
    const { code, err } = await pith("debug", at("hidden.onnx"), at(name), "--data", at("points.csv"));
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_UNSUPPORTED: No layer of ") });
  }
  expect((await pith("prune", at("hidden.onnx"), "--amount", "60%", "-o", at("thin.onnx"), "--force")).code).toBe(0);
  const thin = await pith("debug", at("hidden.onnx"), at("thin.onnx"), "--data", at("points.csv"));
  expect(thin).toMatchObject({ code: 0, out: expect.stringContaining("The largest error comes from layer") });
});

test("does not overwrite a model with its page", async () => {
  const { code, err } = await pith("debug", at("right.onnx"), at("near.onnx"), "-o", at("near.onnx"));
  expect(code).toBe(2);
  expect(err).toContain("the model itself");
});
