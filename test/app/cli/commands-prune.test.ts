import { existsSync, readdirSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { float, smallModels } from "./small-models.ts";

const { at, folder } = smallModels();

describe("prune", () => {
  const data = ["--data", at("points.csv")];

  test("removes small weights without a loss, as zeros in a file without masks", async () => {
    const out = at("half.onnx");
    const result = await json("prune", at("right.onnx"), "--amount", "50%", ...data, "-o", out);
    expect(result).toMatchObject({ code: 0, comparison: { candidate: { value: 1 }, difference: { value: 0 } } });
    const { before, after } = result as Record<string, { bytes: number; gzip: number; brotli?: number }>;
    expect(after?.gzip).toBeLessThan(before?.gzip ?? 0);
    expect(after?.brotli).toBeGreaterThan(0);
    expect(after?.bytes).toBe(before?.bytes);
    expect(await json("inspect", out)).toMatchObject({ operators: { Gemm: 1 }, roles: { parameter: 2 } });
  });

  test("prunes channels until the file meets --target-size", async () => {
    await save(parseModel(float), at("float.onnx"));
    const originalBytes = statSync(at("float.onnx")).size;
    for (const size of [`${originalBytes - 300}B`, `${(originalBytes - 300) / 1000}KB`]) {
      const words = ["--structured", "--target-size", size, "--force", "-o", at("thin.onnx")];
      expect(await json("prune", at("float.onnx"), ...words)).toMatchObject({ code: 0, written: at("thin.onnx") });
      expect(statSync(at("thin.onnx")).size).toBeLessThanOrEqual(originalBytes - 300);
    }
    const small = await pith("prune", at("float.onnx"), "--structured", "--target-size", "10B");
    expect(small).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^E_OPTION: --target-size cannot be reached: /m),
    });
  });

  test("writes nothing if the same amount is pruned already, and states why", async () => {
    await save(parseModel(float), at("float.onnx"));
    await pith("prune", at("float.onnx"), "--amount", "50%", "--force", "-o", at("half.onnx"));
    expect(await pith("prune", at("half.onnx"), "--amount", "50%", "--force", "-o", at("again.onnx"))).toMatchObject({
      code: 1,
      out: expect.stringMatching(
        /fc1 and fc2: the weights to remove are already 0, because zeros in the file count; use a larger amount\n$/,
      ),
      err: expect.stringMatching(/^E_UNSUPPORTED: Nothing changed, and nothing was written: /m),
    });
    expect(existsSync(at("again.onnx"))).toBe(false);
  });

  test("rejects an unknown criterion, with the known ones and a suggestion", async () => {
    for (const [word, hint] of [
      ["biggest", "See pith prune --help"],
      ["magnitud", 'Did you mean "magnitude"?'],
    ] as const) {
      const { code, out, err } = await pith("prune", at("right.onnx"), "--amount", "50%", "--importance", word);
      expect([code, out]).toEqual([2, ""]);
      expect(err).toMatch(
        /^E_OPTION: --importance is "magnitude", .* or the path of a module that exports one, got "(magnitud|biggest)"\.\n/,
      );
      expect(err).toContain(`hint: ${hint}`);
    }
  });

  test("evaluates nothing in a dry run, so a model at chance is not rejected", async () => {
    const words = ["prune", at("zero.onnx"), "--amount", "50%", ...data, "-o", at("dry.onnx")];
    expect((await pith(...words)).err).toMatch(/^E_DATA: /m);
    const { code, out, err } = await pith("prune", at("hidden.onnx"), "--amount", "75%", ...data, "--dry-run");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^fc1 +6 of 8 pruned/m);
    expect(out).toMatch(/\nNothing was written \(--dry-run\)\.\n$/);
    expect(await pith(...words, "--dry-run")).toMatchObject({ code: 0 });
    expect(existsSync(at("dry.onnx"))).toBe(false);
  });

  test("a dry run prints the cost with fewer channels, but not with zeros", async () => {
    const words = ["prune", at("hidden.onnx"), "--dry-run"];
    const { out } = await pith(...words, "--structured", "50%");
    const line =
      /\nresult: \d+ parameters \(\d\.\d+ × fewer\), \d+ MACs \(\d\.\d+ × fewer\), (?:about as fast|[\d.–]+ × as fast(?: \((?:undecided|most runs: [\d.–]+)\))?) on one thread here\n/;
    expect(out).toMatch(line);
    expect((await pith(...words, "--amount", "50%")).out).not.toContain("result:");
    const { planned } = JSON.parse((await pith(...words, "--structured", "50%", "--json")).out);
    expect(planned).toMatchObject({
      parameters: expect.any(Number),
      macs: expect.any(String),
      speed: { median: expect.any(Number), low: expect.any(Number), high: expect.any(Number) },
    });
  });

  test.each([
    [["--structured", "50%"]],
    [["--structured", "--amount", "50%"]],
    [["--amount", "50%", "--structured=true"]],
  ])("%j removes half of the removable channels", async (words) => {
    const out = at("hidden.cut.onnx");
    const result = await json("prune", ...words, at("hidden.onnx"), ...data, "-o", out, "--force");
    expect(result).toMatchObject({ code: 0, changes: [{ at: "fc1", what: "2 of 4 channels cut" }] });
    expect((await open(out)).graph.value("fc2.weight")?.tensor?.dims).toEqual([2, 2]);
  });

  test.each([
    [[], "--amount is required"],
    [["--structured"], "--amount is required"],
    [["--structured", "30%", "--amount", "50%"], "--amount is given twice"],
    [["--amount", "50"], "--amount: 50 exceeds 1 (100 %): write 50% or 0.5."],
    [["--structured", "50"], "--structured: 50 exceeds 1 (100 %): write 50% or 0.5."],
    [["--amount", "-1"], "takes a number from 0 to 1"],
    [["--amount", "50%", "--layers", "fcc"], 'E_NAME: No layer is called "fcc".'],
    [
      ["--amount", "50%", ...data, "--max-drop", "1"],
      "--max-drop 1 would allow any loss: write 1% (one point) or 0.01.",
    ],
  ])("rejects %j as wrong usage", async (words, message) => {
    const { code, out, err } = await pith("prune", at("right.onnx"), ...words);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  test("does not write a result that lost its function, unless forced", async () => {
    const out = at("gone.onnx");
    const words = ["prune", at("right.onnx"), "--amount", "100%", ...data, "-o", out];
    expect(await pith(...words)).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(/^E_ACCURACY_LOST: .*\nhint: .*--force/),
    });
    expect(readdirSync(folder)).not.toContain("gone.onnx");
    const lost = expect.stringMatching(/^accuracy went from 100\.0 % to /);
    expect(await json(...words, "--force")).toMatchObject({ code: 0, written: out, lost });
    expect((await pith(...words, "--force")).out).toMatch(/\nchange: accuracy went .*--force/);
  });

  test("compares raw outputs if there are too few samples to show a loss", async () => {
    const out = at("few.onnx");
    const words = ["prune", at("right.onnx"), ...data, "--samples", "4", "-o", out];
    const { code, err } = await pith(...words, "--amount", "100%");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^E_ACCURACY_LOST: /) });
    expect(readdirSync(folder)).not.toContain("few.onnx");
    const kept = await json(...words, "--amount", "50%");
    expect(kept).toMatchObject({ code: 0, written: out, likeness: { samples: 4, ofData: true } });
  });
});

test("prints the sizes in the row of MACs if they have no ratio", async () => {
  const text = `opset 21
graph (x: float32[batch, seq, 4]) -> (y) {
  fc.weight: float32[4, 4] parameter = random(seed 1)
  h = MatMul "fc" (x, fc.weight)
  t = Transpose(h) {perm=[0, 2, 1]}
  y = MatMul(h, t)
}
`;
  await save(parseModel(text), at("sizes.onnx"));
  const { out } = await pith("prune", at("sizes.onnx"), "--amount", "0.5", "--force", "-o", at("sizes.pruned.onnx"));
  expect(out).toMatch(/^multiply-adds +(\S.*seq\S*) {2,}\1 *$/m);
});
