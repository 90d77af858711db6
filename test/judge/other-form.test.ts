/** A result whose output has another shape is rejected even if its predictions are the same: by recipes, by the search, and by simplify's comparison. */
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { checkEquivalence } from "../../src/judge/compare/equivalence.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../src/judge/run/compress.ts";
import { task, trained } from "./blobs.ts";
import { addClass, quick } from "./other-form.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("a result with another shape or without an output", () => {
  test("is rejected by a recipe, with the name of the output", async () => {
    const widen = definePass({
      id: "widen",
      summary: "Add a class",
      options: v.strictObject({}),
      async run(model) {
        addClass(model);
        return { changes: [{ at: "scores", what: "wider", decidedBy: "global" }], misses: [] };
      },
    });
    const recipe = recipeFrom({ steps: [{ widen: {} }, { quantize: { scheme: "weights" } }] }, "recipe", [widen]);
    const [output = ""] = net.graph.outputs.map(({ name }) => name);
    const rejected = await runRecipe(net, recipe, task, { ...quick, passes: [widen] }).catch((error: unknown) => error);
    expect(rejected).toMatchObject({ code: "E_ACCURACY_LOST", message: expect.stringContaining(output) });
    expect(rejected).toMatchObject({ message: expect.stringMatching(/9/) });
  });

  test("is not the same in the comparison of simplify", async () => {
    const wider = net.clone();
    addClass(wider);
    expect(await checkEquivalence(createEngine(), net, wider)).toMatchObject({ difference: Number.POSITIVE_INFINITY });
    const without = net.clone();
    without.graph.setOutputs([]);
    const [output] = net.graph.outputs;
    expect(await checkEquivalence(createEngine(), net, without)).toMatchObject({
      at: output?.name,
      difference: Number.POSITIVE_INFINITY,
    });
  });
});
