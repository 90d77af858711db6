/** docs/recipe.schema.json: recipes as JSON Schema, so that editors complete and check them; from the options of the passes themselves. */
import { type ConversionConfig, type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import type { AnyPass } from "../../src/passes/index.ts";
import { recipeFrom, recipeVersion, steps } from "../../src/recipe/index.ts";
import { filledIn } from "../../src/run/step.ts";
import type { Generator } from "./generator.ts";

const file = "docs/recipe.schema.json";

export const recipeSchemaPage: Generator = {
  generate: async () => new Map([[file, `${JSON.stringify(recipeSchema(), null, 2)}\n`]]),
};

export function recipeSchema(): JsonSchema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A Pith recipe",
    type: "object",
    properties: {
      $schema: { type: "string" },
      version: { const: recipeVersion },
      steps: {
        type: "array",
        minItems: 1,
        items: {
          type: "object",
          minProperties: 1,
          maxProperties: 1,
          properties: Object.fromEntries([...steps].map(([id, pass]) => [id, stepSchema(pass)])),
          additionalProperties: false,
        },
      },
    },
    required: ["steps"],
    additionalProperties: false,
  };
}

/** What the run fills in, or only code can make, is left out: a recipe cannot say it. */
function stepSchema(pass: AnyPass): JsonSchema {
  const { $schema: _, properties = {}, required = [], ...rest } = toJsonSchema(pass.options, conversion);
  const given = (name: string): boolean => !filledIn.includes(name);
  const schema: JsonSchema = {
    ...rest,
    description: pass.summary,
    properties: Object.fromEntries(Object.entries(properties).filter(([name]) => given(name))),
    required: required.filter(given),
  };
  return needsNothing(pass.id) ? { anyOf: [schema, { type: "null" }] } : schema;
}

/** Whether `- train:` alone is a step. */
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
  // Checks that only code can make (options that exclude each other) have no form in JSON Schema.
  errorMode: "ignore",
  // Metadata is for the command line.
  overrideAction: ({ valibotAction, jsonSchema }) =>
    isMetadata(valibotAction)
      ? Object.fromEntries(Object.entries(jsonSchema).filter(([key]) => !(key in valibotAction.metadata)))
      : undefined,
  overrideSchema({ valibotSchema, jsonSchema }) {
    if (valibotSchema.type !== "union") return jsonSchema;
    // What only code can make (a data set, an optimizer) has no form, so it converts to nothing.
    const members = (jsonSchema.anyOf ?? []).filter((member) => Object.keys(member).length > 0);
    const [only] = members;
    return typeof only === "object" && members.length === 1 ? only : { ...jsonSchema, anyOf: members };
  },
};

function isMetadata(action: object): action is { readonly metadata: object } {
  return "metadata" in action && typeof action.metadata === "object" && action.metadata !== null;
}
