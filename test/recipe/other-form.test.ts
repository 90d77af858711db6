/** A result whose output has another shape is rejected even if its predictions are the same: by recipes, by the search, and by simplify's comparison. */
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { compareOutputs } from "../../src/judge/compare/equivalence.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../src/judge/run/run.ts";
import { search } from "../../src/search/search.ts";
import { task, trained } from "./blobs.ts";

let net: Model;
const quick = { rounds: 0, goal: { maxDrop: 0.02 } } as const;

beforeAll(async () => {
  net = await trained();
});

/** Adds a class that is never predicted: [batch, 8] becomes [batch, 9]. */
function addClass(model: Model): void {
  const { graph } = model;
  const [scores] = graph.outputs;
  if (scores === undefined) return;
  const { name } = scores;
  graph.rename(scores, `${name} of 8 classes`);
  const emit = emitInto(model);
  const least = emit.ReduceMin([scores, [1]]);
  const wider = emit.Concat([scores, emit.Sub([least, emit.constant(float32([], [1]))])], { axis: 1 });
  graph.rename(wider, name);
  graph.setOutputs([wider]);
}

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

  test("is not kept by the search, whose other candidates are", async () => {
    const engine = createEngine();
    const breaking: Engine = {
      ...engine,
      load: (model, ...rest) => {
        const isDynamic = [...model.graph.nodes()].some(({ op }) => op === "DynamicQuantizeLinear");
        if (!isDynamic) return engine.load(model, ...rest);
        const broken = model.clone();
        addClass(broken);
        return engine.load(broken, ...rest);
      },
    };
    const { run } = await search(net, task, { ...quick, steps: 2, purpose: "size" }, { engine: breaking });
    const [dynamic] = run.search?.points.filter(({ name }) => name === "int8 dynamic") ?? [];
    expect(dynamic).toMatchObject({ drop: 0, rejected: expect.stringMatching(/is \[\d+, 9\] instead of \[\d+, 8\]/) });
    expect(run.variants[run.chosen ?? -1]?.name).toMatch(/^palettes of \d bits$/);
  });

  test("is not the same in the comparison of simplify", async () => {
    const wider = net.clone();
    addClass(wider);
    expect(await compareOutputs(createEngine(), net, wider)).toMatchObject({ difference: Number.POSITIVE_INFINITY });
    const without = net.clone();
    without.graph.setOutputs([]);
    const [output] = net.graph.outputs;
    expect(await compareOutputs(createEngine(), net, without)).toMatchObject({
      at: output?.name,
      difference: Number.POSITIVE_INFINITY,
    });
  });
});
