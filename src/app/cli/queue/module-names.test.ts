/** Code that a job names, which a worker runs only if it was started with it. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { dataAt } from "../../../../test/app/cli/data-request.ts";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { parseRecipe } from "../../../judge/recipe/recipe-text.ts";

import type { SharedInput } from "./job-inputs.ts";
import { createModuleFinder, modulesOf, nameInJobs, withModules } from "./module-names.ts";

const data = dataAt("inputs/x/points.csv");
const input = { model: "inputs/x/net.onnx", resumeFolder: "runs/x", data, seed: 0 };
/** Reads an input as a worker that was started without modules does. */
const withoutModules = async (given: SharedInput) => withModules(given, await createModuleFinder([]));
const recipe = (step: string) => ({ ...input, recipe: `steps:\n  - ${step}\n` });

test.each(["points.mjs", "points.mjs/", "points.mjs/.", "points.mjs//./", "folder/../points.CTS"])(
  "rejects a data set that is a module: %s",
  async (path) => {
    await expect(withoutModules({ ...input, data: { ...data, path: `inputs/x/${path}` } })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("is code that this worker was not started with: --modules "),
    });
  },
);

describe("modules that a worker was started with", () => {
  const folder = temporaryFolder();
  const [here, there] = ["here", "there"].map((name) => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "mine.mjs"), "export default {};\n");
    return join(folder, name, "mine.mjs");
  }) as [string, string];
  const job = {
    ...input,
    data: { ...data, path: here },
    recipe: `steps:\n  - repeat: 2\n    steps: [{ prune: { importance: ${here}, amount: { from: 0, to: 50%, curve: ${here} } } }]\n`,
  };

  test("replace the modules of a job that have the same content hash", async () => {
    const queued = await withModules(job, nameInJobs);
    const sha256 = createHash("sha256").update(readFileSync(here)).digest("hex");
    expect(queued.data.path).toBe(`modules/${sha256}/mine.mjs`);
    expect(JSON.stringify(queued)).not.toContain(folder);
    expect(await modulesOf(queued)).toEqual([queued.data.path]);
    const received = await withModules(queued, await createModuleFinder([there]));
    expect(received.data.path).toBe(there);
    expect(parseRecipe(received.recipe)).toEqual(parseRecipe(job.recipe.replaceAll(here, there)));
  });

  test("do not replace modules with other content, or modules that a job names by path", async () => {
    const queued = await withModules(job, nameInJobs);
    writeFileSync(join(folder, "mine.mjs"), "export default { id: 'another' };\n");
    const rename = await createModuleFinder([join(folder, "mine.mjs")]);
    const message = "is code that this worker was not started with: --modules mine.mjs.";
    await expect(withModules(queued, rename)).rejects.toThrow(message);
    await expect(withModules(job, await createModuleFinder([here]))).rejects.toThrow(message);
  });

  test("must exist when the worker or the command starts", async () => {
    const missing = join(folder, "missing.mjs");
    await expect(createModuleFinder([missing])).rejects.toMatchObject({ code: "E_FILE" });
    const asked: SharedInput = { ...input, data: { ...data, path: missing } };
    await expect(withModules(asked, nameInJobs)).rejects.toMatchObject({ code: "E_FILE" });
  });
});

describe("a recipe", () => {
  test.each([
    "prune: { amount: 30% }",
    "distill: { teacher: original, epochs: 1 }",
    "train: { epochs: 1, validation: 10% }",
    'quantize: { scheme: dynamic, layers: ["/layer1/conv1.weight", "a.js/Conv"] }',
  ])("with named techniques is accepted: %s", async (step) => {
    await expect(withoutModules(recipe(step))).resolves.toMatchObject(input);
  });

  test.each([
    ["distill: { teacher: big.onnx, epochs: 1 }", "big.onnx"],
    ["distill: { teacher: original, otherTeachers: [a.onnx], epochs: 1 }", "a.onnx"],
    ["train: { epochs: 1, log: run.csv }", "run.csv"],
  ])("that names a file is rejected: %s", async (step, file) => {
    await expect(withoutModules(recipe(step))).rejects.toThrow(`"${file}" is a file of this machine`);
    await expect(withModules(recipe(step), nameInJobs)).rejects.toThrow(`"${file}" is a file of this machine`);
  });

  test.each([
    "prune: { amount: 30%, importance: ./mine.mjs }",
    "repeat: 2\n    steps: [{ prune: { amount: { from: 0, to: 0.5, curve: ./mine.mjs } } }]",
  ])("naming a module is rejected by a worker that was not started with it: %s", async (step) => {
    await expect(withoutModules(recipe(step))).rejects.toThrow(
      '"./mine.mjs" is code that this worker was not started with',
    );
  });

  test("that has an unknown step is rejected", async () => {
    await expect(withoutModules(recipe("shrink: {}"))).rejects.toThrow("shrink");
  });
});
