/** `recover` as a step of a recipe. */
import { expect, test } from "vitest";
import { memory } from "../../../src/data/index.ts";
import { agreement } from "../../../src/judge/index.ts";
import { recipeFrom } from "../../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../../src/judge/run/compress.ts";
import { noise } from "../../noise.ts";
import { network } from "./networks.ts";

test("in a recipe, recovers towards the input model of the recipe", async () => {
  const weights = { "a.weight": [12, 6], "a.bias": [12], "b.weight": [4, 12], "b.bias": [4] };
  const nodes = "  h = Gemm(x, a.weight, a.bias) {transB=1}\n  r = Relu(h)\n  y = Gemm(r, b.weight, b.bias) {transB=1}";
  const model = network("x: float32[n, 6]", "y: float32[n, 4]", weights, nodes);
  const task = {
    train: memory("train", { x: noise([400, 6], 1) }),
    test: memory("test", { x: noise([200, 6], 2) }),
    metric: agreement(),
  };
  const recipe = recipeFrom({ steps: [{ prune: { amount: 0.4, structured: true } }, { recover: {} }] });
  const { run } = await runRecipe(model, recipe, task, { force: true, rounds: 0 });
  const [pruned, recovered] = run.variants[0]?.steps ?? [];
  expect(recovered?.agreement?.value).toBeGreaterThan((pruned?.agreement?.value ?? 1) + 0.03);
});
