/** `pith recover`, and the step of a recipe. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { json, pith } from "../../app/cli/run.ts";
import { smallModels } from "../../app/cli/small-models.ts";

const { at, folder } = smallModels();

const data = ["--data", at("points.csv")];

test("brings a model nearer to its original, and measures it on held-out samples", async () => {
  const out = at("near.recovered.onnx");
  const result = await json("recover", at("near.onnx"), "--original", at("right.onnx"), ...data, "-o", out);
  expect(result).toMatchObject({ code: 0, written: out });
  const { original, candidate } = result.comparison as Record<string, { value: number }>;
  expect(original?.value).toBeLessThan(0.97);
  expect(candidate?.value).toBeGreaterThan(0.98);
});

test("prints each stage once, and as the next command a comparison if the goal is met", async () => {
  const words = ["recover", at("near.onnx"), "--original", at("right.onnx"), ...data];
  const { out, err } = await pith(...words, "-o", at("again.onnx"));
  expect(`${out}${err}`.match(/least-squares: /g)).toHaveLength(1);
  expect(out).toContain(`\nnext: pith bench ${at("right.onnx")} ${at("again.onnx")}  # for a page`);
});

test("names the reference that a maximum drop limits", async () => {
  const words = ["recover", at("near.onnx"), "--original", at("right.onnx"), ...data, "-o", at("limited.onnx")];
  expect((await pith(...words)).err).toContain(
    `of ${at("near.onnx")} by more than 1.0 points, with statistical significance. --force writes it in any case. To limit the drop from ${at("right.onnx")} instead: --max-drop.`,
  );
  expect((await pith(...words, "--max-drop", "5%")).err).toContain(
    `of ${at("right.onnx")} by more than 5.0 points (--max-drop)`,
  );
});

test("writes nothing if there is nothing to recover", async () => {
  const names = readdirSync(folder);
  const { code, out } = await pith("recover", at("right.onnx"), "--original", at("right.onnx"), ...data);
  expect(code).toBe(1);
  expect(out).toContain("there is nothing to recover");
  expect(readdirSync(folder)).toEqual(names);
});

test("requires data and the original, and never overwrites the original", async () => {
  const unjudged = await pith("recover", at("near.onnx"), "--original", at("right.onnx"));
  expect(unjudged).toMatchObject({
    code: 2,
    err: "E_USAGE: recover needs --data.\nhint: See --data in pith recover --help.\n",
  });
  expect(await pith("recover", at("near.onnx"), ...data)).toMatchObject({
    code: 2,
    err: expect.stringContaining("E_USAGE: recover needs --original: the model that the input was made from."),
  });
  const over = ["--original", at("right.onnx"), ...data, "-o", at("right.onnx")];
  expect(await pith("recover", at("near.onnx"), ...over)).toMatchObject({
    code: 2,
    err: expect.stringContaining("the original"),
  });
});

test("warns of few samples to fit on, and not of enough", async () => {
  const rows = readFileSync(at("points.csv"), "utf8").split("\n");
  writeFileSync(at("few.csv"), `${rows.slice(0, 65).join("\n")}\n`);
  const words = ["recover", at("near.onnx"), "--original", at("right.onnx"), "--dry-run"];
  expect((await pith(...words, "--data", at("few.csv"))).err).toMatch(
    /^few: 39 samples to fit on, 12 to validate; more samples would recover more$/m,
  );
  expect((await pith(...words, ...data)).err).not.toContain("to fit on");
});
