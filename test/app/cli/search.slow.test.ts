/** Tests whole searches of `pith compress`, with other goals and other `--jobs`. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { results } from "./compressing.ts";
import { pith } from "./run.ts";
import { preparedSearch } from "./searching.ts";

const { at, searching } = preparedSearch();

test("the recipe of each finalist gives the same file", async () => {
  const out = at("recipes");
  const { code, err } = await searching(out, "--steps", "12", "--for", "size", "--max-drop", "60%");
  expect(code, err).toBe(0);
  const { variants, search } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(variants.length).toBeGreaterThan(1);
  for (const { name, result } of variants) {
    const { recipe } = search.points.find((point: { readonly name: string }) => point.name === name);
    writeFileSync(at("of-one.yaml"), recipe);
    const data = ["--data", at("points.csv"), "-r", at("of-one.yaml"), "--force"];
    const repeated = await pith("compress", at("outliers.onnx"), ...data, "-o", at("of-one"));
    expect(repeated.code, repeated.err).toBe(0);
    const bytes = readFileSync(join(at("of-one"), "model.onnx"));
    expect(createHash("sha256").update(bytes).digest("hex"), name).toBe(result.sha256);
  }
}, 60_000);

test("finds the most accurate model below a size", async () => {
  const out = at("sized");
  const { code, err } = await searching(out, "--steps", "6", "--target-size", "16kB");
  expect(code, err).toBe(0);
  expect(readFileSync(join(out, "model.onnx")).length).toBeLessThanOrEqual(16_000);
  const { variants, chosen } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(variants[chosen].comparison.difference.value).toBe(0);
});

test("writes nothing if no model is as small as the target", async () => {
  const out = at("too-small");
  const { code, err } = await searching(out, "--steps", "2", "--target-size", "1kB");
  expect(code).toBe(1);
  expect(err).toMatch(/^E_UNSUPPORTED: No candidate is on target: .* has more than 1\.00 kB; the smallest has /m);
  expect(existsSync(join(out, "model.onnx"))).toBe(false);
});

test("gives the same result for any --jobs, and uses only the given techniques", async () => {
  const words = ["--steps", "9", "--for", "size", "--max-drop", "2%", "--techniques", "prune,recover,quantize"];
  const [serialRun, parallelRun] = [
    await searching(at("one"), ...words),
    await searching(at("two"), ...words, "--jobs", "2"),
  ];
  expect(parallelRun.code, parallelRun.err).toBe(0);
  expect(serialRun.code, serialRun.err).toBe(0);
  for (const name of ["model.onnx", "recipe.yaml"])
    expect(readFileSync(join(at("two"), name))).toEqual(readFileSync(join(at("one"), name)));
  const [first, second] = ["one", "two"].map((name) => {
    const { search } = JSON.parse(readFileSync(join(at(name), "run.json"), "utf8"));
    return search.points.map(({ seconds: _, ...point }: { readonly seconds: number }) => point);
  });
  expect(second).toEqual(first);
  expect(first.some(({ name }: { readonly name: string }) => /low rank|distilled/.test(name))).toBe(false);
}, 180_000);

test("uses few samples for both search and test, with messages before and after", async () => {
  const { code, out, err } = await searching(at("few"), "--samples", "60", "--steps", "1", "--for", "size", "--force");
  expect(code, err).toBe(0);
  expect(err).toMatch(
    /the search and the evaluation use the same 60 samples: give 200 or more, so that half are for the evaluation only$/m,
  );
  expect(out).toMatch(
    /^kept: int8 .*\n.*\. The goal is missed\. Only 60 test samples, so the same ones chose and evaluated the result\. .* provide 200 or more\.$/m,
  );
  expect(out).not.toContain("others compared the candidates");
});

test("states why nothing was written if no candidate is smaller", async () => {
  const { code, err } = await pith(
    ...["compress", at("mixed.onnx"), "--data", at("points.csv"), "--steps", "4", "--for", "size", "-o", at("none")],
  );
  expect(code).toBe(1);
  expect(err).toMatch(/^E_UNSUPPORTED: No candidate is smaller than the original\./m);
});

test("tries structures alone if no format is among the techniques", async () => {
  const out = at("structures");
  const { code, err } = await searching(
    out,
    ...["--steps", "3", "--for", "size", "--techniques", "prune,recover"],
    "--force",
  );
  expect(code, err).toBe(0);
  const { search } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(search.points).toHaveLength(3);
});

test("writes the best candidate with a recipe that gives the same file", async () => {
  const [out, again] = [at("searched"), at("again")];
  const { code, out: text, err } = await searching(out, "--steps", "8", "--for", "size", "--max-drop", "2%");
  expect(code, err).toBe(0);
  expect(err).toMatch(/^best so far: /m);
  expect(text).toMatch(
    /^kept: .*, the smallest of 8 candidates that is within the goal\. .*\nchange: (?:accuracy went from .*\. )?(.*; goal: lose at most 2\.0 points\)\. .*|[Tt]he result is identical to the original: .*)\nnext: pith bench .*\n$/m,
  );
  expect(text).toMatch(/tested on: .*points\.csv \(test, (\d+); \1 others compared the candidates\)$/m);
  for (const name of results) expect(readFileSync(join(out, name)).length).toBeGreaterThan(0);
  const run = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(run.search.points).toHaveLength(8);
  const recipe = join(out, "recipe.yaml");
  const repeated = await pith(
    "compress",
    at("outliers.onnx"),
    "--data",
    at("points.csv"),
    "-r",
    recipe,
    "--force",
    "-o",
    again,
  );
  expect(repeated.code, repeated.err).toBe(0);
  expect(readFileSync(join(again, "model.onnx"))).toEqual(readFileSync(join(out, "model.onnx")));
});
