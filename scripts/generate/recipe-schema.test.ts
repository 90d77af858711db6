import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { numbersAt } from "../../src/core/pass/option-schema.ts";
import { builtInPasses } from "../../src/judge/recipe/built-in-passes.ts";
import { curves } from "../../src/judge/recipe/option-schedules.ts";
import { parseRecipe } from "../../src/judge/recipe/recipe-text.ts";
import { completeOptions, runOptionNames } from "../../src/judge/steps/step-options.ts";
import { recipeSchema } from "./recipe-schema.ts";

const schema: unknown = recipeSchema();
const text = JSON.stringify(schema);

function at(...path: readonly string[]): Readonly<Record<string, unknown>> {
  let node = schema;
  for (const key of path) node = typeof node === "object" && node !== null ? Reflect.get(node, key) : undefined;
  if (typeof node !== "object" || node === null) throw new Error(`There is no ${path.join(".")}.`);
  return { ...node };
}

const stepsAt = ["definitions"];
const itemsAt = ["properties", "steps", "items", "anyOf"];
const stepAt = [...itemsAt, "0", "properties"];
const repeatedAt = [...itemsAt, "1", "properties", "steps", "items", "properties"];

test("contains every step, with its options and their descriptions", () => {
  expect(Object.keys(at(...stepsAt))).toEqual([...builtInPasses.keys(), "course"]);
  expect(Object.keys(at(...stepAt))).toEqual([...builtInPasses.keys(), "judge"]);
  expect(Object.keys(at(...repeatedAt))).toEqual([...builtInPasses.keys(), "judge"]);
  expect(at(...stepsAt, "prune", "properties", "amount")).toMatchObject({
    type: "number",
    minimum: 0,
    maximum: 1,
    description: expect.stringContaining("share"),
  });
  expect(at(...stepsAt, "quantize", "properties", "scheme").enum).toEqual([
    "weights",
    "dynamic",
    "static",
    "float16",
    "bfloat16",
  ]);
  expect(at(...stepsAt, "quantize").required).toEqual([]);
});

test("contains the options that recipes accept, and none that the run fills in", () => {
  for (const [id, pass] of builtInPasses) {
    const definition = at(...stepsAt, id);
    const [first] = Array.isArray(definition.anyOf) ? definition.anyOf : [definition];
    const names = Object.keys(first.properties);
    expect(names.filter((name) => runOptionNames.includes(name))).toEqual([]);
    // Defaults are named as options are.
    for (const name of Object.keys(completeOptions(pass, {}))) expect(names).toContain(name);
    expect(first.additionalProperties).toBe(false);
  }
});

test("accepts a schedule exactly for options of repeated steps for which recipes do", () => {
  const course = { $ref: "#/definitions/course" };
  for (const [id, pass] of builtInPasses) {
    expect(at(...stepAt, id)).toEqual({ $ref: `#/definitions/${id}` });
    const definition = at(...repeatedAt, id);
    const [first] = Array.isArray(definition.anyOf) ? definition.anyOf : [definition];
    for (const [name, option] of Object.entries<{ anyOf?: unknown[] }>(first.properties ?? {})) {
      const takes = numbersAt(pass.options, [name]) !== undefined;
      expect([id, name, option.anyOf?.some((one) => isDeepStrictEqual(one, course)) === true]).toEqual([
        id,
        name,
        takes,
      ]);
    }
  }
  expect(at(...repeatedAt, "prune", "properties", "overrides", "additionalProperties", "properties", "amount")).toEqual(
    {
      anyOf: [
        { $ref: "#/definitions/prune/properties/overrides/additionalProperties/properties/amount" },
        { $ref: "#/definitions/course" },
      ],
    },
  );
  const { anyOf } = at("definitions", "course", "properties", "curve");
  expect(anyOf).toContainEqual({ type: "string", enum: Object.keys(curves) });
});

test("contains only references to existing definitions", () => {
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = ""]) => path);
  expect(references.length).toBeGreaterThan(100);
  for (const path of new Set(references)) expect(() => at(...path.split("/"))).not.toThrow();
});

test("accepts a step without options exactly if a recipe does", () => {
  for (const id of builtInPasses.keys()) {
    const alone = Array.isArray(at(...stepsAt, id).anyOf);
    const accepted = () => parseRecipe(`steps:\n  - ${id}:\n`);
    if (alone) expect(accepted).not.toThrow();
    else expect(accepted).toThrow();
  }
});

test("omits command-line metadata", () => {
  expect(text).not.toContain("teacher.onnx");
});
