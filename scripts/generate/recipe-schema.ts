/** Generates docs/recipe.schema.json from the options of the passes, so that editors complete and check recipes. */
import { type ConversionConfig, type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import { omitOptions } from "../../src/core/pass/option-schema.ts";
import type { AnyPass } from "../../src/core/pass/pass.ts";
import { builtInPasses } from "../../src/judge/recipe/built-in-passes.ts";
import { maxRounds, recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { scheduleSchema } from "../../src/judge/recipe/option-schedules.ts";
import { recipeVersion } from "../../src/judge/recipe/recipe.ts";
import { runOptionNames } from "../../src/judge/steps/step-options.ts";
import type { Generator } from "./generator.ts";

const file = "docs/recipe.schema.json";

export const recipeSchemaPage: Generator = {
  generate: async () => new Map([[file, `${formatSchema(recipeSchema(), 4)}\n`]]),
};

/** Writes each option on one line, because the package contains the file: fully indented, it is 2.5 times as large. @param depth levels with a line per entry. */
function formatSchema(value: unknown, depth: number, indent = ""): string {
  if (depth === 0 || typeof value !== "object" || value === null || Array.isArray(value)) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  if (entries.length === 0) return "{}";
  const lines = entries.map(
    ([key, entry]) => `${indent} ${JSON.stringify(key)}: ${formatSchema(entry, depth - 1, `${indent} `)}`,
  );
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

export function recipeSchema(): JsonSchema {
  const passes = Object.fromEntries([...builtInPasses].map(([id, pass]) => [id, stepSchema(pass)]));
  const stepItem = step(mapped(passes, (_, id) => reference(id)));
  const repeatedItem = step(mapped(passes, (options, id) => withCourses(options, [id])));
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A Pith recipe",
    type: "object",
    properties: {
      $schema: { type: "string" },
      version: { const: recipeVersion },
      samples: samplesDefinition,
      steps: { type: "array", minItems: 1, items: { anyOf: [stepItem, repeat(repeatedItem)] } },
    },
    required: ["steps"],
    additionalProperties: false,
    definitions: { ...passes, course: courseDefinition() },
  };
}

const count: JsonSchema = { type: "integer", minimum: 0 };
const samplesDefinition: JsonSchema = {
  type: "object",
  description: "how many samples the recipe was found with: the data is divided as then",
  properties: { calibration: count, training: { anyOf: [count, { const: "all" }] } },
  required: ["calibration", "training"],
  additionalProperties: false,
};

type Schemas = Readonly<Record<string, JsonSchema | boolean>>;

/** Returns the schema of a step: a pass with its options, and optionally `judge`. */
function step(passes: Schemas): JsonSchema {
  const judge: JsonSchema = {
    enum: [true, false, "fallback"],
    description:
      "measure what the step makes (default: true, in a repeat only behind the last step of the last round); fallback: where it misses the goal, layers keep more bits",
  };
  return {
    type: "object",
    if: { required: ["judge"] },
    // biome-ignore lint/suspicious/noThenProperty: this is a keyword of JSON Schema.
    then: { minProperties: 2, maxProperties: 2 },
    else: { minProperties: 1, maxProperties: 1 },
    properties: { ...passes, judge },
    additionalProperties: false,
  };
}

function repeat(items: JsonSchema): JsonSchema {
  return {
    type: "object",
    properties: {
      repeat: { type: "integer", minimum: 1, maximum: maxRounds, description: "number of rounds of the steps" },
      steps: { type: "array", minItems: 1, items },
    },
    required: ["repeat", "steps"],
    additionalProperties: false,
  };
}

function courseDefinition(): JsonSchema {
  const { $schema: _, ...schema } = toJsonSchema(scheduleSchema, conversion);
  return { ...schema, description: "a number that changes from round to round" };
}

const course = reference("course");

function reference(...path: readonly string[]): JsonSchema {
  return { $ref: `#/definitions/${path.join("/")}` };
}

/** Returns a schema whose numbers can change from round to round. @param path its path in the definitions, to reference schemas without numbers. */
function withCourses(schema: JsonSchema | boolean, path: readonly string[]): JsonSchema {
  const same = reference(...path);
  if (typeof schema === "boolean" || !hasNumbers(schema)) return same;
  if (isNumber(schema)) return { anyOf: [same, course] };
  const { properties, additionalProperties, items, anyOf, ...rest } = schema;
  const members = anyOf?.map((one, place) =>
    isNumber(one) ? reference(...path, "anyOf", String(place)) : withCourses(one, [...path, "anyOf", String(place)]),
  );
  return {
    ...rest,
    ...(members && anyOf && { anyOf: anyOf.some(isNumber) ? [...members, course] : members }),
    ...(properties && {
      properties: mapped(properties, (one, name) => withCourses(one, [...path, "properties", name])),
    }),
    ...(additionalProperties !== undefined && {
      additionalProperties:
        additionalProperties === false ? false : withCourses(additionalProperties, [...path, "additionalProperties"]),
    }),
    ...(isSchema(items) && { items: withCourses(items, [...path, "items"]) }),
  };
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasNumbers(schema: JsonSchema | boolean): boolean {
  if (typeof schema === "boolean") return false;
  const { properties = {}, additionalProperties = false, items, anyOf = [] } = schema;
  const inner = [...Object.values(properties), additionalProperties, ...(isSchema(items) ? [items] : []), ...anyOf];
  return isNumber(schema) || inner.some(hasNumbers);
}

function isNumber(schema: JsonSchema | boolean): boolean {
  return (
    typeof schema === "object" && (schema.type === "number" || schema.type === "integer") && schema.enum === undefined
  );
}

function mapped(
  schemas: Schemas,
  by: (schema: JsonSchema | boolean, name: string) => JsonSchema,
): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, by(schema, name)]));
}

/** Returns the options that a recipe can contain: those that the run fills in, or that only code can create, are omitted. */
function stepSchema(pass: AnyPass): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(omitOptions(pass.options, runOptionNames), conversion);
  const schema: JsonSchema = { ...rest, description: pass.summary };
  return needsNothing(pass.id) ? { anyOf: [schema, { type: "null" }] } : schema;
}

/** Returns whether a step is complete without options, such as `- train:`. */
function needsNothing(id: string): boolean {
  try {
    recipeFrom({ steps: [{ [id]: null }] });
    return true;
  } catch {
    return false;
  }
}

const conversion: ConversionConfig = {
  typeMode: "input",
  // Checks in code, such as options that exclude each other, have no form in JSON Schema.
  errorMode: "ignore",
  // Metadata is for the command line.
  overrideAction: ({ valibotAction, jsonSchema }) =>
    isMetadata(valibotAction)
      ? Object.fromEntries(Object.entries(jsonSchema).filter(([key]) => !(key in valibotAction.metadata)))
      : undefined,
  overrideSchema({ valibotSchema, jsonSchema }) {
    if (valibotSchema.type !== "union") return jsonSchema;
    // Values that only code can create (a dataset, an optimizer) have no form in JSON Schema, so they convert to an empty schema.
    const members = (jsonSchema.anyOf ?? []).filter((member) => Object.keys(member).length > 0);
    const [only] = members;
    return typeof only === "object" && members.length === 1 ? only : { ...jsonSchema, anyOf: members };
  },
};

function isMetadata(action: object): action is { readonly metadata: object } {
  return "metadata" in action && typeof action.metadata === "object" && action.metadata !== null;
}
