import { expect, test } from "vitest";
import { parseModel } from "../core/graph/text.ts";
import { recipeFrom } from "../judge/recipe/check-recipe.ts";
import { openSteps } from "../judge/recipe/pass-steps.ts";
import { listRecipes } from "./candidates.ts";

test("each pass accepts the options that it offers to a search", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 3, 8, 8]) -> (y: float32[n, 10]) {
  v: float32[32, 3, 3, 3] = random(seed 1)
  w: float32[32, 10] = random(seed 2)
  c = Conv(x, v)
  r = Relu(c)
  m = ReduceMean(r) {axes=[2, 3], keepdims=0}
  y = MatMul(m, w)
}`);
  const recipes = await listRecipes(model, {});
  const offered = (await Promise.all(recipes.map((recipe) => openSteps(recipe)))).flat();
  expect(new Set(offered.map(({ id }) => id))).toContain("distill");
  for (const { id, options } of offered) expect(() => recipeFrom({ steps: [{ [id]: options }] })).not.toThrow();
});
