import * as v from "valibot";
import { expect, test } from "vitest";
import { namesAt, nodesAt } from "../../core/pass/option-schema.ts";
import { runOptionNames } from "../steps/step-options.ts";
import { builtInPasses } from "./built-in-passes.ts";
import { recipeFrom } from "./check-recipe.ts";
import { filesOfRecipe, filesOfStep } from "./pass-steps.ts";

/** Options whose text is not a path, although their schema accepts any text. */
const names = ["layers", "except", "keep", "keepLayers", "operators", "output", "loss", "augment", "validation"];

const isSchema = (node: unknown): node is v.GenericSchema =>
  typeof node === "object" && node !== null && "~run" in node;

test.each([...builtInPasses])("finds each option of %s that names a file", (id, { options }) => {
  const path = "/folder/file.onnx";
  const acceptsPath = (at: readonly (string | number)[]): boolean =>
    nodesAt(options, at).some((node) => isSchema(node) && v.safeParse(node, path).success);
  for (const name of namesAt(options)) {
    if (names.includes(name) || runOptionNames.includes(name)) continue;
    if (acceptsPath([name])) expect(filesOfStep({ id, options: { [name]: path } })).toEqual([path]);
    else if (acceptsPath([name, 0]))
      expect(filesOfStep({ id, options: { [name]: [path, path] } })).toEqual([path, path]);
  }
});

test("finds files of repeated steps, and none in a recipe that learns from the original", () => {
  const step = { train: { log: "run.csv" } };
  expect(filesOfRecipe(recipeFrom({ steps: [{ repeat: 2, steps: [step] }, step] }))).toEqual(["run.csv", "run.csv"]);
  expect(filesOfRecipe(recipeFrom({ steps: [{ distill: { teacher: "original" } }] }))).toEqual([]);
});
