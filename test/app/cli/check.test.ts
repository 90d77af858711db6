import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { speedFinding } from "../../../src/app/cli/commands/check/findings.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import type { PairedRunTimes } from "../../../src/runtime/run/relative-time.ts";
import { budgetsOfSmallModels } from "./budgets.ts";
import { json, pith, program } from "./run.ts";
import { classifier } from "./small-models.ts";

const { at, write, writeEntry } = budgetsOfSmallModels();

describe("pith check", () => {
  test("passes a model within its budgets", async () => {
    const path = writeEntry(
      "model: mixed.onnx, original: right.onnx, data: points.csv, bytes: 1 kB, drop: 5%, agreement: 90%",
    );
    const { code, out } = await pith("check", path);
    expect(out).toMatch(/bytes +at most 1\.00 kB +\d+ bytes +passed/);
    expect(out).toMatch(/drop +lose at most 5\.0 points +change .* points \(.*\) +passed/);
    expect(out).toMatch(/agreement +at least 90\.0 % +.* % \(.*\) +passed\ncheck passed\nnext: .*\n$/);
    expect(code).toBe(0);
  });

  test("reads budgets with CRLF in a folder with a space and other letters", async () => {
    const path = write(
      `models:\r\n  - { model: ${JSON.stringify(at("right.onnx"))}, bytes: 1 kB }\r\n`,
      "größe 模型/pith.check.yaml",
    );
    const { code, out } = await pith("check", path);
    expect(out).toMatch(/check passed\nnext: .*\n$/);
    expect(code).toBe(0);
  });

  test("fails a file above its bytes", async () => {
    const { code, out } = await pith("check", writeEntry("model: right.onnx, bytes: 100"));
    expect(out).toMatch(/bytes +at most 100 bytes +\d+ bytes +failed\ncheck failed\nnext: .*\n$/);
    expect(code).toBe(1);
  });

  test("fails a model that loses more than it may, and says how much", async () => {
    const { code, out } = await pith(
      "check",
      writeEntry("model: zero.onnx, original: right.onnx, data: points.csv, drop: 1%"),
    );
    expect(out).toMatch(/drop +lose at most 1\.0 points +change −\d+\.\d points \(.*\) +failed/);
    expect(out).toContain("The goal is missed");
    expect(code).toBe(1);
  });

  test("fails a model whose predictions differ too often", async () => {
    const { code, out } = await pith(
      "check",
      writeEntry("model: zero.onnx, original: right.onnx, data: points.csv, agreement: 90%"),
    );
    expect(out).toMatch(/agreement +at least 90\.0 % +.* failed/);
    expect(code).toBe(1);
  });

  test("does not decide on few samples", async () => {
    const budgets = "samples: 12, drop: 5%, agreement: 80%";
    const { code, out } = await pith(
      "check",
      writeEntry(`model: right.onnx, original: mixed.onnx, data: points.csv, ${budgets}`),
    );
    expect(out).toMatch(/agreement +at least 80\.0 % +.* undecided/);
    expect(out).toContain("agreement: 12 samples do not decide");
    expect(out).toMatch(/\ncheck undecided\nnext: .*\n$/);
    expect(code).toBe(3);
  });

  test("does not decide on data on which the original is at chance level", async () => {
    copyFileSync(at("zero.onnx"), at("also-zero.onnx"));
    const budgets = "model: also-zero.onnx, original: zero.onnx, data: points.csv, drop: 1%";
    const { code, out } = await pith("check", writeEntry(budgets));
    expect(out).toContain("drop: the original is not better than always predicting the most frequent class");
    expect(code).toBe(3);
  });

  test("does not append Markdown to a model", async () => {
    const { code, err } = await pith(
      "check",
      writeEntry("model: right.onnx, bytes: 1kB"),
      "--markdown",
      at("right.onnx"),
    );
    expect(err).toContain("a file of the check");
    expect(code).toBe(2);
  });

  test("does not decide without the data", async () => {
    const budgets = "model: right.onnx, original: mixed.onnx, data: elsewhere, bytes: 1kB, drop: 1%";
    const { outcome, models } = (await json("check", writeEntry(budgets))) as {
      outcome: string;
      models: { findings: object[] }[];
    };
    expect(outcome).toBe("undecided");
    expect(models[0]?.findings).toMatchObject([
      { budget: "bytes", outcome: "passed" },
      { budget: "drop", outcome: "undecided", reason: expect.stringMatching(/elsewhere" is not here$/) },
    ]);
  });

  test("fails if the original is missing, and checks the other models", async () => {
    const path = write(
      "models:\n  - { model: right.onnx, original: lost.onnx, data: points.csv, drop: 1% }\n  - { model: right.onnx, bytes: 1kB }\n",
    );
    const { code, out } = await pith("check", path);
    expect(out).toMatch(
      /model +can be measured +no +failed\nmodel: The original ".*lost\.onnx" of "right\.onnx" does not exist\. Commit it/,
    );
    expect(out).toMatch(/bytes +at most 1\.00 kB +\d+ bytes +passed\ncheck failed\nnext: .*\n$/);
    expect(code).toBe(1);
  });

  test("fails if the original is another file than the one of the budgets", async () => {
    const hash = createHash("sha256")
      .update(readFileSync(at("mixed.onnx")))
      .digest("hex");
    const original = (file: string): string => `original: { file: ${file}, sha256: ${hash} }`;
    const budgets = (file: string): string =>
      writeEntry(`model: right.onnx, ${original(file)}, data: points.csv, drop: 5%`);
    expect((await pith("check", budgets("mixed.onnx"))).code).toBe(0);
    const { code, out } = await pith("check", budgets("near.onnx"));
    expect(out).toMatch(
      /The original ".*near\.onnx" is another file: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}\./,
    );
    expect(code).toBe(1);
  });

  test("hashes and compares external data with the model", async () => {
    const model = parseModel(`opset 21
graph (x: float32[n, 16]) -> (y: float32[n, 32]) {
  w: float32[16, 32] = random(seed 1)
  y = MatMul(x, w)
}`);
    for (const folder of ["", "base"]) {
      mkdirSync(at(join("outside", folder)), { recursive: true });
      await save(model, at(join("outside", folder, "model.onnx")), { externalData: true });
    }
    const files = ["model.onnx", "model.onnx_data"].map((name) => at(`outside/${name}`));
    const digest = createHash("sha256");
    for (const file of files) digest.update(readFileSync(file));
    const original = `original: { file: model.onnx, sha256: ${digest.digest("hex")} }`;
    const path = write(
      `models:\n  - { model: ../right.onnx, ${original}, bytes: 1kB }\n  - { model: model.onnx, bytes: 3kB }\n`,
      "outside/pith.check.yaml",
    );
    const check = () => pith("check", path, "--base", at("outside/base"));
    expect(await check()).toMatchObject({ code: 0, out: expect.stringContaining("unchanged: the base") });
    const [, data = ""] = files;
    writeFileSync(data, readFileSync(data).fill(0));
    const { code, out } = await check();
    expect(out).toContain('model.onnx" is another file: expected SHA-256');
    expect(out).toMatch(/changed: .* → .* \(unchanged\), after brotli/);
    expect(code).toBe(1);
  });

  test("rejects a model that is its own original, also through a link", async () => {
    symlinkSync(at("right.onnx"), at("link.onnx"));
    const { code, err } = await pith("check", writeEntry("model: right.onnx, original: link.onnx, speed: 0.01"));
    mkdirSync(at("folder"));
    copyFileSync(at("right.onnx"), at("folder/right.onnx"));
    expect((await pith("check", writeEntry("model: folder, original: folder, speed: 0.01"))).code).toBe(2);
    expect(err).toMatch(/^E_OPTION: "right\.onnx" is its own original/);
    expect(code).toBe(2);
  });

  test("leaves out the original in a folder, and follows links of models", async () => {
    mkdirSync(at("variants"));
    copyFileSync(at("right.onnx"), at("variants/model.onnx"));
    symlinkSync(at("zero.onnx"), at("variants/linked.onnx"));
    const { code, out } = await pith(
      "check",
      writeEntry("model: variants, original: variants/model.onnx, data: points.csv, agreement: 90%"),
    );
    expect(out).toMatch(/^variants.linked\.onnx\n[\s\S]*failed\ncheck failed\nnext: .*\n$/);
    expect(out).not.toContain("variants/model.onnx\n");
    expect(code).toBe(1);
  });

  test("does not decide on the speed of a model with other inputs", async () => {
    await save(parseModel(classifier("[[1, 0], [0, 1]]").replaceAll("features", "points")), at("renamed.onnx"));
    const { code, out } = await pith("check", writeEntry("model: renamed.onnx, original: right.onnx, speed: 0.01"));
    expect(out).toContain("speed: the inputs have other names or types than those of the original");
    expect(code).toBe(3);
  });

  test("says how many samples would decide", async () => {
    const budgets = "model: mixed.onnx, original: right.onnx, data: points.csv, samples: 100, agreement: 97%";
    expect((await pith("check", writeEntry(budgets))).out).toMatch(/100 samples do not decide; about \d+ would/);
  });

  test("fails a model that cannot run, if only its speed is limited", async () => {
    await save(parseModel(classifier("[[1, 0], [0, 1]]").replace("Gemm", "NoSuchOperator")), at("unknown.onnx"));
    const { code, out } = await pith("check", writeEntry("model: unknown.onnx, original: right.onnx, speed: 0.01"));
    expect(out).toMatch(/model +can be measured +no +failed\n.*NoSuchOperator/);
    expect(code).toBe(1);
  });

  test("reads budgets from package.json", async () => {
    const check = { models: [{ model: "right.onnx", bytes: "1kB" }] };
    const path = write(JSON.stringify({ name: "app", pith: { check } }), "app/package.json");
    copyFileSync(at("right.onnx"), at("app/right.onnx"));
    expect(await pith("check", path)).toMatchObject({ code: 0, out: expect.stringMatching(/^right\.onnx\n/) });
  });

  test("compares bytes with the files before the change, and writes Markdown", async () => {
    mkdirSync(at("base"), { recursive: true });
    copyFileSync(at("right.onnx"), at("base/right.onnx"));
    copyFileSync(at("right.onnx"), at("base/hidden.onnx"));
    const path = write(
      "models:\n  - { model: right.onnx, bytes: 1kB }\n  - { model: hidden.onnx, bytes: 1kB }\n  - { model: near.onnx, bytes: 1 }\n",
    );
    const summary = at("summary.md");
    expect((await pith("check", path, "--base", at("base"), "--markdown", summary)).code).toBe(1);
    const text = readFileSync(summary, "utf8");
    expect(text).toMatch(/^### pith check .*\n\n\*\*right\.onnx\*\*/);
    expect(text).toContain("\n**❌ check failed**\n");
    expect(text).toContain("| bytes | at most 1.00 kB |");
    expect(text).toContain("unchanged: the base has the same file");
    expect(text).toMatch(/changed: \d+ bytes → \d+ bytes \(\+\d+ bytes\), after brotli/);
    expect(text).toContain("new: the base has no such file");
  });

  test.each([
    [
      "a typo",
      "models:\n  - { modle: a.onnx, bytes: 1kB }\n",
      /^E_OPTION: .*pith\.check\.yaml:2:\d+: .*modle.*\n.*model/,
    ],
    [
      "no budget",
      "models:\n  - { model: a.onnx }\n",
      /2:5: models\[0\]: "a\.onnx" has no budget: bytes, download, drop/,
    ],
    ["a drop without data", "models:\n  - { model: a.onnx, original: b.onnx, drop: 1% }\n", /"drop" needs "data"/],
    ["a drop without original", "models:\n  - { model: a.onnx, data: c, drop: 1% }\n", /"drop" needs "original"/],
    [
      "a size that is none",
      "models:\n  - { model: a.onnx, bytes: small }\n",
      /2:\d+: models\[0\]\.bytes: takes a size such as 300kB or 2MB, got "small"/,
    ],
    [
      "a drop that allows any loss",
      "models:\n  - { model: a.onnx, original: b.onnx, data: c, drop: 1 }\n",
      /2:\d+: models\[0\]\.drop: 1 would allow any loss: write 1% \(one point\)/,
    ],
    [
      "an agreement that no model reaches",
      "models:\n  - { model: a.onnx, original: b.onnx, data: c, agreement: 97 }\n",
      /models\[0\]\.agreement: takes a share such as 97%, got 97/,
    ],
    [
      "a drop that no number of samples shows",
      "models:\n  - { model: a.onnx, original: b.onnx, data: c, drop: 0 }\n",
      /models\[0\]\.drop: no number of samples shows that nothing is lost/,
    ],
    ["YAML that is none", "models: [\n", /invalid YAML/],
    ["a value that contains itself", "models: &a\n  - { model: b.onnx, original: *a }\n", /one that contains itself/],
  ])("rejects budgets with %s, and names the place", async (_, text, message) => {
    const { code, err } = await pith("check", write(text));
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });

  test("runs code that the budgets name only if the command line names it, too", async () => {
    const text = `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(at("ran"))}, "");\n`;
    writeFileSync(at("rows.mjs"), `${text}export default async function* () {}\n`);
    symlinkSync(at("rows.mjs"), at("linked.mjs"));
    for (const data of ["rows.mjs", "linked.mjs"]) {
      const path = writeEntry(`model: right.onnx, original: right-copy.onnx, data: ${data}, drop: 1%`);
      copyFileSync(at("right.onnx"), at("right-copy.onnx"));
      const { code, out } = await pith("check", path);
      expect(out).toMatch(/"\S+\.mjs" is code that the command line does not name\. .* --modules \S+\.mjs/);
      expect(code).toBe(1);
      expect(existsSync(at("ran"))).toBe(false);
    }
    const path = writeEntry("model: right.onnx, original: right-copy.onnx, data: linked.mjs, drop: 1%");
    await pith("check", path, "--modules", at("rows.mjs"));
    expect(existsSync(at("ran"))).toBe(true);
  });

  test("prints no command of GitHub Actions for a name of a model", async () => {
    const names = ["::error title=a::b.onnx", "##[error]b.onnx"];
    for (const name of names) copyFileSync(at("right.onnx"), at(name));
    const entries = names.map((name) => `  - { model: "${name}", bytes: 1 }\n`);
    const { out } = await pith("check", write(`models:\n${entries.join("")}`));
    expect(out).toContain("\\u003a:error title=a::b.onnx\n");
    expect(out).toContain("#\\u0023[error]b.onnx\n");
  });

  test("has no budgets in a package.json that depends on pith, and quotes one that is not JSON", async () => {
    const check = (name: string, text: string) => {
      const cwd = dirname(write(text, `${name}/package.json`));
      return spawnSync(process.execPath, [program, "check"], { cwd, encoding: "utf8" });
    };
    const dependent = check("dependent", JSON.stringify({ dependencies: { pith: "1" } }));
    expect(dependent).toMatchObject({ status: 2, stderr: expect.stringContaining("No budgets") });
    expect(check("broken", "{")).toMatchObject({ status: 2, stderr: expect.stringContaining("package.json") });
  });

  test("says what to do without budgets", async () => {
    expect(await pith("check", join(at("none"), "pith.check.yaml"))).toMatchObject({ code: 1 });
  });
});

describe("the speed of a model", () => {
  const timing = (speed: number): PairedRunTimes => ({ before: 1, after: 1 / speed, ratios: [] });

  test.each([
    ["passes if all timings reach the limit", [2, 1.5, 1.8], "passed"],
    ["fails if no timing reaches it", [1, 1.4, 1.1], "failed"],
    ["is not decided by timings on both sides of it, as on a busy machine", [1.4, 1.6, 1.6], "undecided"],
  ] as const)("%s", (_, speeds, outcome) => {
    expect(speedFinding(1.5, speeds.map(timing)).outcome).toBe(outcome);
  });

  test("is not decided if processor time cannot be read", () => {
    const unknown = { before: Number.NaN, after: Number.NaN };
    const finding = speedFinding(1.5, [timing(2), unknown, timing(2)]);
    expect(finding).toMatchObject({ outcome: "undecided", reason: "processor time cannot be read here" });
  });
});
