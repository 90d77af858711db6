import { expect, test } from "vitest";
import { exampleRun } from "../../../../test/app/report/example-run.ts";
import { resultOfRun } from "./compress-result.ts";

const hintFor = (ids: readonly string[]): string | undefined => {
  const variant = exampleRun.variants.find(({ rejectedAs, steps }) => rejectedAs === undefined && steps.length > 0);
  const { search: _, ...recipeRun } = exampleRun;
  const [step] = variant?.steps ?? [];
  if (variant === undefined || step === undefined) throw new Error("The example has no step.");
  const run = {
    ...recipeRun,
    rejected: { code: "E_ACCURACY_LOST" as const, message: "Accuracy went down." },
    variants: [{ ...variant, steps: ids.map((id) => ({ ...step, id })) }],
  };
  return resultOfRun({ run, written: ["out/report.html"] }, { isGoalRequired: true, replaced: false }).failure?.hint;
};

test("advises to recover before training if a recipe prunes and trains", () => {
  expect(hintFor(["prune", "train"])).toMatch(/^Add recover after prune to the recipe \(-r\), allow more/);
  expect(hintFor(["prune", "recover", "train"])).toMatch(/^Lower learningRate of train in the recipe/);
  expect(hintFor(["quantize"])).toMatch(/^Edit the recipe/);
});
