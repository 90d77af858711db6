import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { PithError } from "../../src/core/errors.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { compress } from "../../src/judge/run/compress.ts";
import { task } from "./blobs.ts";
import { candidate, countSteps, cut, folder, net, options, ran } from "./counted-steps.ts";

countSteps();

describe("steps within one run", () => {
  test("run once if several candidates begin with them", async () => {
    const candidates = [candidate(0.1, 0.2), candidate(0.1, 0.3), candidate(0.1, 0.2, 0.4)];
    const { run } = await compress(net, candidates, task, options);
    expect(ran).toEqual([0.1, 0.2, 0.3, 0.4]);
    const [first, second, third] = run.variants;
    expect(second?.steps[0]).toEqual(first?.steps[0] && { ...first.steps[0], after: second?.steps[0]?.after });
    expect(third?.steps[1]?.after?.sha256).toBe(first?.result?.sha256);
    const alone = await compress(net, [candidate(0.1, 0.2, 0.4)], task, options);
    expect(alone.run.variants[0]?.result?.sha256).toBe(third?.result?.sha256);
  });

  test("fail for all candidates that begin with a failing step", async () => {
    const failing = definePass({
      id: "failing",
      summary: "count, and fail",
      options: v.object({}),
      async run() {
        ran.push(0);
        throw new PithError("E_UNSUPPORTED", "It cannot be done.");
      },
    });
    const steps = (amount: number) => ({
      name: `${amount}`,
      recipe: recipeFrom({ steps: [{ failing: {} }, { cut: { amount } }] }, "recipe", [cut, failing]),
    });
    const { run } = await compress(net, [steps(0.1), steps(0.2)], task, { ...options, passes: [cut, failing] });
    expect(run.variants.map(({ rejected }) => rejected)).toEqual(["It cannot be done", "It cannot be done"]);
    expect(ran).toEqual([0]);
  });
});

test("a step can name a model, whose digest is in the record", async () => {
  const teacher = net.clone();
  const recipe = recipeFrom({ steps: [{ prune: { amount: 0.1 } }, { distill: { teacher, epochs: 1, batch: 64 } }] });
  const { run } = await compress(net, [{ name: "one", recipe }], task, options);
  expect(run.variants[0]?.steps[1]?.options).toMatchObject({ teacher: run.original.sha256, epochs: 1 });
  expect(JSON.parse(JSON.stringify(run))).toBeDefined();
});

describe("steps across runs", () => {
  test("are not shared by a dry run", async () => {
    await compress(net, [candidate(0.3)], task, { ...options, resumeFolder: folder }, { dryRun: true });
    await compress(net, [candidate(0.3)], task, { ...options, resumeFolder: folder });
    expect(ran).toEqual([0.3, 0.3]);
  });
});
