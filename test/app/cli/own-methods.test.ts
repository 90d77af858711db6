/** Tests custom criteria, patterns, solvers and rounding methods as modules: on the command line and in recipes. */
import { existsSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { clipped, codes, ownMethods, weight } from "./own-methods.ts";
import { json, pith } from "./run.ts";

const { at, words } = ownMethods();

describe("a custom criterion that uses layer inputs", () => {
  const words = () => ["prune", at("mixed.onnx"), "--amount", "50%", "--importance", at("wanda.mjs")];

  test("receives samples", async () => {
    const out = at("by-inputs.onnx");
    const result = await json(...words(), "--data", at("uneven.csv"), "--force", "-o", out);
    expect(result).toMatchObject({ changes: [{ at: "fc", what: "2 of 4 pruned, 2 of 4 left" }] });
    // [[1, 0], [0.1, 0.9]]: magnitudes would remove the 1 last.
    expect(await weight(out)).toEqual([1, 0, 0, 0.9].map(Math.fround));
    await json(...words().with(3, "75%"), "--data", at("uneven.csv"), "--force", "-o", out);
    expect(await weight(out)).toEqual([0, 0, 0, 0.9].map(Math.fround));
  });

  test("requires samples", async () => {
    const { code, err } = await pith(...words(), "-o", at("none.onnx"));
    expect(err).toContain("prune needs --data here: the criterion uses samples.");
    expect(code).toBe(2);
  });
});

test("a custom criterion of channels receives gate gradients, and rejects individual weights", async () => {
  const gates = `export default {
  id: "gates",
  evidence: {
    of: "gates",
    each: "sample",
    begin() {
      let sum;
      return { add: (g, count) => { sum = Float64Array.from(g, (one, i) => (sum?.[i] ?? 0) + count * Math.abs(one)); }, end: () => sum };
    },
  },
  units: ({ evidence }) => evidence,
};
`;
  writeFileSync(at("gates.mjs"), gates);
  const words = ["--importance", at("gates.mjs"), "--data", at("points.csv"), "--force", "-o", at("gated.onnx")];
  const result = await json("prune", at("hidden.onnx"), "--structured", "50%", ...words);
  expect(result).toMatchObject({ changes: [{ at: "fc1", what: "2 of 4 channels cut" }] });
  expect(await weight(at("gated.onnx"), "fc1.weight")).toEqual([1, 0, 0, 1]);
  const { err, code } = await pith("prune", at("hidden.onnx"), "--amount", "50%", ...words);
  expect(err).toContain("ranks channels, not individual weights: it requires --structured");
  expect(code).not.toBe(0);
});

test("a custom pattern requires neither data nor an amount", async () => {
  const out = at("pattern.onnx");
  await json("prune", at("mixed.onnx"), "--pattern", at("first.mjs"), "--force", "-o", out);
  expect(await weight(out)).toEqual([1, 0, 0.1, 0].map(Math.fround));
  expect((await pith("prune", at("mixed.onnx"), "--pattern", "3:2", "-o", out)).err).toContain("--pattern");
});

test("gives no hint about the amount if a pattern loses too much", async () => {
  const { err } = await pith(
    "prune",
    at("mixed.onnx"),
    "--pattern",
    "1:2",
    "--data",
    at("points.csv"),
    "-o",
    at("lost.onnx"),
  );
  expect(err).toContain("E_ACCURACY_LOST");
  expect(err).toContain("hint: Skip that layer (--except fc)");
  expect(err).not.toContain("smaller amount");
});

test("a custom solver changes the remaining weights", async () => {
  writeFileSync(
    at("doubling.mjs"),
    `export default {
  id: "doubling",
  prune: (weights, kept, { pattern, amount }) => ({
    kept: pattern.choose(weights, kept, amount),
    weights: weights.map((one) => ({ ...one, data: one.data.map((w) => 2 * w) })),
  }),
};`,
  );
  const out = at("solved.onnx");
  const words = ["prune", at("mixed.onnx"), "--amount", "50%", "--solver", at("doubling.mjs"), "--force", "-o", out];
  await json(...words);
  expect(await weight(out)).toEqual([2, 0, 0, 1.8].map(Math.fround));
});

describe("a custom rounding method", () => {
  test("determines the scales", async () => {
    const out = at("clipped.onnx");
    await json(...words(at("clipped.mjs")), "--force", "-o", out);
    expect(await weight(out, "fc.weight_quantized")).toEqual(codes);
    expect(await weight(out, "fc.weight_scale")).toEqual([0.9 / 127, 0.81 / 127].map(Math.fround));
  });

  test.each([
    ["quantize: { scheme: weights, rounder: FILE }", []],
    ["repeat: 2\n    steps: [{ prune: { amount: { from: 0, to: 50%, curve: FILE } } }]", ["--modules", "other.mjs"]],
  ])("does not run if only a recipe names it: %s", async (step, more) => {
    writeFileSync(
      at("evil.mjs"),
      `import { writeFileSync } from "node:fs"; writeFileSync(${JSON.stringify(at("ran"))}, "");`,
    );
    writeFileSync(at("evil.yaml"), `steps:\n  - ${step.replace("FILE", at("evil.mjs"))}\n`);
    const data = ["--data", at("uneven.csv"), "--force", "-o", at("evil")];
    expect(await pith("compress", at("mixed.onnx"), "-r", at("evil.yaml"), ...data, ...more)).toMatchObject({
      code: 2,
      err: `E_OPTION: ${at("evil.yaml")}: "${at("evil.mjs")}" is code that the command line does not name.\nhint: Code of a recipe runs with your rights. If you trust it: --modules ${at("evil.mjs")}\n`,
    });
    expect(existsSync(at("ran"))).toBe(false);
  });

  test("requires samples if it uses layer inputs", async () => {
    const looking = clipped.replace(
      'id: "clipped"',
      'id: "looking", evidence: { begin: () => ({ add() {}, end: () => 0 }) }',
    );
    writeFileSync(at("looking.mjs"), looking);
    const { code, err } = await pith(...words(at("looking.mjs")), "-o", at("none.onnx"));
    expect(err).toContain("quantize needs --data here: the rounding method uses layer inputs.");
    expect(code).toBe(2);
  });

  test("is rejected, with a suggestion, if its name is unknown or its kind is wrong", async () => {
    expect((await pith(...words("nearst"))).err).toContain('hint: Did you mean "nearest"?');
    expect((await pith(...words(at("wanda.mjs")))).err).toContain("a rounder { id, scales }, or the path of a module");
  });
});

describe("an error in a custom method", () => {
  const importance = ["prune", "--amount", "50%", "--importance"];
  const pattern = ["prune", "--amount", "50%", "--pattern"];
  const solver = ["prune", "--amount", "50%", "--solver"];
  const rounder = ["quantize", "--scheme", "weights", "--rounder"];
  const throwing = "() { throw new Error('no luck.'); }";
  const looking = (running: string) => `evidence: { begin: () => (${running}) }`;
  const scales = "scales: ({ slices }) => Array.from({ length: slices }, () => ({ scale: 1, zeroPoint: 0 }))";
  let files = 0;
  const byGradient = (running: string) => `evidence: { of: "gradients", begin: () => (${running}) }`;

  test.each([
    [importance, `scores${throwing}`, 'The importance "own" failed: no luck.'],
    [
      importance,
      "scores: async ({ values }) => values",
      'The importance "own" returned a promise, but must return the result directly.',
    ],
    [importance, "scores: async () => { throw 1; }", "returned a promise"],
    [
      importance,
      "scores() {}",
      'expected a score for each weight of layer "fc", got neither a Float64Array nor a list of matrices { rows, columns, data }.',
    ],
    [importance, "scores: ({ values }) => [...values]", "got neither a Float64Array nor a list of matrices"],
    [importance, "scores: ({ values }) => values.slice(1)", "got 3 scores for 4 weights"],
    [importance, "scores: ({ values }) => values.map(() => NaN)", "got NaN"],
    [importance, `${looking(`{ add${throwing}, end() {} }`)}, scores() {}`, 'The importance "own" failed: no luck.'],
    [importance, `${looking("3")}, scores() {}`, ".add is not a function"],
    [importance, `${byGradient(`{ add${throwing}, end() {} }`)}, scores() {}`, 'The importance "own" failed: no luck.'],
    [importance, `${byGradient("{ async add() {}, end() {} }")}, scores() {}`, "returned a promise"],
    [importance, "evidence: null, scores() {}", "a criterion { id, scores or units }"],
    [pattern, `choose${throwing}`, 'The pattern "own" failed: no luck.'],
    [pattern, "choose: async (scores, kept) => kept", 'The pattern "own" returned a promise'],
    [pattern, "choose() {}", 'The pattern "own": expected 0 or 1 for each entry of layer "fc".'],
    [
      pattern,
      "choose: (scores, kept) => kept.map((one) => Array.from(one, () => 0.5))",
      "expected 0 or 1 for each entry",
    ],
    [
      pattern,
      "choose: (scores, kept) => kept.map((one) => Array.from(one, () => -1))",
      "expected 0 or 1 for each entry",
    ],
    [solver, `prune${throwing}`, 'The solver "own" failed: no luck.'],
    [solver, "prune() {}", 'The solver "own": expected { weights, kept } for layer "fc".'],
    [solver, "prune: (weights, kept) => ({ weights: 3, kept })", "expected { weights, kept }"],
    [solver, "prune: (weights) => ({ weights })", "expected 0 or 1 for each entry"],
    [rounder, `scales${throwing}`, 'The rounder "own" failed: no luck.'],
    [rounder, "scales() {}", 'The rounder "own" gives no list of { scale, zeroPoint }.'],
    [rounder, `${scales}, codes: () => [1, 2]`, "expected quantized values as matrices of the weight's size"],
    [rounder, `${scales}, codes${throwing}`, 'The rounder "own" failed: no luck.'],
  ])("is reported with the name of the method: %o: %s", async ([command = "", ...words], method, message) => {
    // Node caches an imported module by its path.
    const file = at(`own-${files++}.mjs`);
    writeFileSync(file, `export default { id: "own", ${method} };`);
    const { code, err } = await pith(
      command,
      at("mixed.onnx"),
      ...words,
      file,
      "--data",
      at("uneven.csv"),
      "--dry-run",
    );
    expect(err).toContain(message);
    expect(code).toBe(2);
  });

  test("is reported with its position", async () => {
    writeFileSync(at("failing.mjs"), `export default {\n  id: "own",\n  scores${throwing},\n};`);
    const [command = "", ...words] = importance;
    const { err } = await pith(command, at("mixed.onnx"), ...words, at("failing.mjs"), "--dry-run");
    expect(err).toMatch(/hint: It was thrown at .*failing\.mjs:3:\d+\./);
  });
});

test("a pattern does not restore pruned weights", async () => {
  // The pattern keeps all entries but the first; two of these were pruned before.
  writeFileSync(
    at("back.mjs"),
    'export default { id: "back", share: 0.25, choose: (_, kept) => kept.map((one) => one.map((_, i) => (i === 0 ? 0 : 1))) };',
  );
  const [half, out] = [at("half.onnx"), at("back.onnx")];
  await json("prune", at("mixed.onnx"), "--amount", "50%", "--keep-masks", "--force", "-o", half);
  await json("prune", half, "--pattern", at("back.mjs"), "--force", "-o", out);
  expect(await weight(out)).toEqual([0, 0, 0, 0.9].map(Math.fround));
});
