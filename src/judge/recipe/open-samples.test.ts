import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { recipeFrom } from "./check-recipe.ts";
import { type OpenedRecipe, openSamples } from "./open-samples.ts";
import { openSteps } from "./pass-steps.ts";
import type { Recipe } from "./recipe.ts";

const net = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 2] parameter = [[9, -9], [-9, 9]]
  logits = Gemm "fc" (features, fc.weight) {transB=1}
}
`;

const openRecipe = async (recipe: Recipe): Promise<OpenedRecipe> => ({ ...recipe, steps: await openSteps(recipe) });

/** Writes rows of two classes, 60 for training and 30 for the test. */
function writeSplits(): string {
  const folder = join(temporaryFolder(), "points");
  mkdirSync(folder);
  const rows = (count: number): string => `a,b,label\n${"0,1,1\n1,0,0\n".repeat(count / 2)}`;
  writeFileSync(join(folder, "train.csv"), rows(60));
  writeFileSync(join(folder, "test.csv"), rows(30));
  return folder;
}

test.each([
  ["trains on the stated number of samples", { training: 20 }, 20, 20],
  ["trains on all samples but those for calibration", { training: "all" }, 52, "all"],
  ["trains on the samples that there are, if more are stated", { training: 100 }, 52, 100],
])("a recipe %s of data with a training split", async (_, { training }, count, recorded) => {
  const recipe = recipeFrom({ samples: { calibration: 8, training }, steps: [{ train: {} }] });
  const { task, samples } = await openSamples(
    parseModel(net),
    [await openRecipe(recipe)],
    { data: writeSplits() },
    completeContext({ seed: 0 }),
  );
  expect([task.train?.count, task.calibrate?.count, samples.training]).toEqual([count, 8, recorded]);
});

test("a recipe of a search on data with a training split records that all of it was drawn from", async () => {
  const steps = [{ recover: { samples: 20 } }, { train: {} }];
  const options = { data: writeSplits() };
  const { samples } = await openSamples(
    parseModel(net),
    [await openRecipe(recipeFrom({ steps }))],
    options,
    completeContext({ seed: 0 }),
  );
  expect(samples.training).toBe("all");
});
