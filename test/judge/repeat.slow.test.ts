/** Recipes with `repeat`: the steps of each round, their measurements, and resuming an interrupted run. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { reportMarkdown } from "../../src/app/report/markdown.ts";
import { reportPage } from "../../src/app/report/report-page.ts";
import { PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { recipeNameOf } from "../../src/judge/recipe/pass-steps.ts";
import { parseRecipe, recipeText } from "../../src/judge/recipe/recipe-text.ts";
import type { Measured } from "../../src/judge/record/run-record.ts";
import { runRecipe } from "../../src/judge/run/compress.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { task, trained, weights } from "./blobs.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

const gradual = `steps:
  - repeat: 3
    steps:
      - prune: { amount: { from: 30%, to: 10% }, keepMasks: true }
      - train: { epochs: 1 }
  - quantize: { scheme: dynamic }
    judge: true
`;
const quick = { rounds: 0, force: true };

const zeros = async (model: Model, name: string): Promise<number> =>
  (await weights(model, name)).filter((value) => value === 0).length;

test("runs a repeat round by round, and measures it once at its end", async () => {
  const stages: string[] = [];
  const measured: string[] = [];
  const reads: string[] = [];
  const watched: Dataset = {
    name: task.test.name,
    count: task.test.count,
    batches(options) {
      reads.push(stages.at(-1) ?? "");
      return task.test.batches(options);
    },
  };
  const recipe = parseRecipe(gradual);
  const { run } = await runRecipe(
    net,
    recipe,
    { ...task, test: watched },
    { ...quick, onStage: (name) => stages.push(name), onMeasured: ({ name }: Measured) => measured.push(name) },
  );
  const rounds = [1, 2, 3].flatMap((round) => [`prune, round ${round} of 3`, `train, round ${round} of 3`]);
  const name = "3 × (prune + train) + quantize";
  expect(recipeNameOf(recipe)).toBe(name);
  const stageNames = [...rounds, "evaluate", "quantize", "evaluate"];
  const positions = [1, 2, 3, 4, 5, 6, 6, 7, 7].map((position, index) => `step ${position} of 7: ${stageNames[index]}`);
  expect(stages).toEqual(["original", ...positions, ...stages.slice(10)]);
  expect(measured.slice(1)).toEqual([`${name}, after train, round 3 of 3`, `${name}, after quantize`]);
  expect(reads.filter((stage) => !stage.endsWith(": evaluate") && stages.indexOf(stage) > 0)).toEqual([]);
  const steps = run.variants[0]?.steps ?? [];
  expect(steps.map((step) => step.name)).toEqual([...rounds, "quantize"]);
  expect(steps.map(({ options }) => options.amount)).toEqual([
    ...[0.233333333333, undefined, 0.166666666667, undefined, 0.1, undefined],
    undefined,
  ]);
  expect(steps.map(({ after }) => after !== undefined)).toEqual([...Array<boolean>(5).fill(false), true, true]);
  const written = JSON.parse(JSON.stringify(steps[0]));
  expect(written).not.toHaveProperty("after");
  expect(written).not.toHaveProperty("comparison");
  expect(steps.at(-1)?.after?.sha256).toBe(run.variants[0]?.result?.sha256);
  // The rounds prune 7/30, 5/30 and 3/30 of the remaining weights: 716.8, 392.5 and 196.2.
  expect(steps.flatMap(({ changes }) => changes.filter(({ at, what }) => at === "fc2" && / left$/.test(what)))).toEqual(
    [
      expect.objectContaining({ what: "717 of 3,072 pruned, 2,355 of 3,072 left" }),
      expect.objectContaining({ what: "393 of 2,355 pruned, 1,962 of 3,072 left" }),
      expect.objectContaining({ what: "196 of 1,962 pruned, 1,766 of 3,072 left" }),
    ],
  );
  const titles = [...reportPage(run).matchAll(/<h3>(.*?)<\/h3>/g)].map(([, title]) => title);
  expect(titles).toEqual([...rounds, "quantize"]);
  expect(reportMarkdown(run)).toContain(name);
});

test("does not measure a step with judge: false, also outside of a repeat", async () => {
  const text = "steps:\n  - prune: { amount: 0.3 }\n    judge: false\n  - quantize: { scheme: weights }\n";
  const { run } = await runRecipe(net, parseRecipe(text), task, quick);
  const [first, second] = run.variants[0]?.steps ?? [];
  expect(first).not.toHaveProperty("after");
  expect(second?.after).toBeDefined();
});

test("gives the same bytes for the same seed, and from the text of the recipe", async () => {
  const recipe = parseRecipe(gradual);
  const bytes = async (text: string, seed: number) =>
    (await runRecipe(net, parseRecipe(text), task, quick, { seed })).bytes;
  const first = await bytes(gradual, 3);
  expect(Buffer.compare(first, await bytes(recipeText(recipe), 3))).toBe(0);
  expect(Buffer.compare(first, await bytes(gradual, 4))).not.toBe(0);
});

test("counts an amount as a share of unmasked weights, or of all without masks", async () => {
  const course = { from: 0.05, to: 0.8, curve: "cubic" };
  const after = async (options: object) => {
    const recipe = recipeFrom({ steps: [{ repeat: 5, steps: [{ prune: options }] }] });
    return (await zeros((await runRecipe(net, recipe, task, quick)).model, "fc2.weight")) / 3072;
  };
  expect(await after({ amount: 0.2, keepMasks: true })).toBeCloseTo(1 - 0.8 ** 5, 3);
  expect(await after({ amount: course })).toBeCloseTo(0.8, 3);
  expect(await after({ amount: course, keepMasks: true })).toBeCloseTo(
    1 - (1 - 0.416) * (1 - 0.638) * (1 - 0.752) * (1 - 0.794) * (1 - 0.8),
    3,
  );
});

test("accepts a custom schedule as a function, or as a module that exports one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pith-test-"));
  const zerosAlong = async (curve: unknown) => {
    const amount = { from: 0.1, to: 0.9, curve };
    const steps = [{ repeat: 2, steps: [{ prune: { amount, keepMasks: true } }] }];
    const { run, model } = await runRecipe(net, recipeFrom({ steps }), task, quick);
    return [
      await zeros(model, "fc2.weight"),
      ...run.variants.flatMap((one) => one.steps.map(({ options }) => options.amount)),
    ];
  };
  try {
    const [file, wrong] = [join(folder, "slowly.mjs"), join(folder, "wrong.mjs")];
    writeFileSync(file, "export default (t) => t ** 2;");
    writeFileSync(wrong, "export default 2;");
    const along = await zerosAlong((t: number) => t ** 2);
    expect(along.slice(1)).toEqual([0.3, 0.9]);
    expect(await zerosAlong(file)).toEqual(along);
    await expect(zerosAlong(wrong)).rejects.toMatchObject({
      code: "E_OPTION",
      message: `prune: "curve": ${wrong} has no function as its default export.`,
    });
    expect(() =>
      recipeFrom({ steps: [{ repeat: 2, steps: [{ prune: { amount: { from: 0, to: 1, curve: "cubi" } } }] }] }),
    ).toThrow(expect.objectContaining({ hint: 'Did you mean "cubic"?' }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("a run that is stopped in a round", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pith-test-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("resumes with that round, and ends with the same bytes", async () => {
    const ran: number[] = [];
    let stopped = true;
    const cut = definePass({
      id: "cut",
      summary: "prune, and stop once",
      options: v.object({ amount: v.number() }),
      async run(model, { amount }, context) {
        if (stopped && ran.length === 2) throw new PithError("E_STOPPED", "Stopped on request.");
        ran.push(amount);
        return prune(model, { amount, keepMasks: true }, context);
      },
    });
    const inside = [{ cut: { amount: { from: 0, to: 0.5 } } }, { train: { epochs: 1 } }];
    const recipe = recipeFrom({ steps: [{ repeat: 5, steps: inside }] }, "recipe", [cut]);
    const options = { ...quick, passes: [cut] };
    const messages: string[] = [];
    const context = { log: ({ text }: { readonly text: string }) => messages.push(text) };
    const resumed = () => runRecipe(net, recipe, task, { ...options, resumeFolder: folder }, context);
    await expect(resumed()).rejects.toMatchObject({ code: "E_STOPPED" });
    expect(ran).toEqual([0.1, 0.2]);
    stopped = false;
    const stages: string[] = [];
    const { bytes } = await runRecipe(
      net,
      recipe,
      task,
      { ...options, resumeFolder: folder, onStage: (name) => stages.push(name) },
      context,
    );
    expect(ran).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(messages).toContain("5 × (cut + train): continued after train, round 2 of 5");
    expect(stages.slice(0, 3)).toEqual([
      "original",
      "step 5 of 10: cut, round 3 of 5",
      "step 6 of 10: train, round 3 of 5",
    ]);
    const { bytes: expected } = await runRecipe(net, recipe, task, options);
    expect(Buffer.compare(bytes, expected)).toBe(0);
  });
});
