import { describe, expect, test } from "vitest";
import { PithError } from "../errors.ts";
import { completeOptions } from "../run/step.ts";
import { calibrationSamples, parseRecipe, recipeFrom, recipeText } from "./recipe.ts";
import { steps } from "./steps.ts";

function failure(read: () => unknown): { message: string; hint: string | undefined } {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(PithError);
    if (error instanceof PithError) {
      expect(error.code).toBe("E_OPTION");
      return { message: error.message, hint: error.hint };
    }
  }
  throw new Error("It was accepted.");
}

const wrong = (text: string) => failure(() => parseRecipe(text, "r.yaml"));

const whole = `version: 1
steps:
  - prune: { structured: true, amount: 0.3 }
  - train: { epochs: 2 }            # fine-tune
  - distill: { teacher: original, temperature: 4, alpha: 0.7, epochs: 3 }
  - factorize: { layers: fc1, rank: 32 }
  - quantize: { scheme: static }
`;

test.each([
  ["quantize: { scheme: static }", 200],
  ["quantize: { scheme: static, samples: 5 }", 5],
  ["quantize: { scheme: dynamic }", 0],
  ["quantize: { scheme: weights, samples: 5 }", 0],
  ["quantize: { scheme: float16 }", 0],
  ["fake-quantize: {}", 0],
  ["fake-quantize: { scheme: static }", 200],
  ["prune: { amount: 0.5 }", 0],
  ["lower-fused: {}", 0],
])("%s calibrates with %i samples", (step, samples) => {
  expect(calibrationSamples(parseRecipe(`version: 1\nsteps:\n  - ${step}\n`, "r.yaml"))).toBe(samples);
});

describe("a recipe", () => {
  test("is a list of steps in order, options as given", () => {
    const recipe = parseRecipe(whole);
    expect(recipe.version).toBe(1);
    expect(recipe.steps.map(({ id }) => id)).toEqual(["prune", "train", "distill", "factorize", "quantize"]);
    expect(recipe.steps[0]?.options).toEqual({ structured: true, amount: 0.3 });
  });

  test("reads the same from YAML, JSON, an object, and its own text", () => {
    const recipe = parseRecipe(whole);
    const data = { version: 1, steps: recipe.steps.map(({ id, options }) => ({ [id]: options })) };
    expect(parseRecipe(JSON.stringify(data))).toEqual(recipe);
    expect(recipeFrom(data)).toEqual(recipe);
    expect(parseRecipe(recipeText(recipe))).toEqual(recipe);
  });

  test("needs no version, no options where the pass needs none, and may name its schema", () => {
    expect(parseRecipe("$schema: x.json\nsteps:\n  - train:\n")).toEqual({
      version: 1,
      steps: [{ id: "train", options: {} }],
    });
  });

  test("may write a share in percent", () => {
    const text = "steps:\n  - prune: { amount: 30% }\n  - factorize: { energy: 97.5 % }\n";
    expect(parseRecipe(text).steps.map(({ options }) => options)).toEqual([{ amount: 0.3 }, { energy: 0.975 }]);
    expect(wrong("steps:\n  - prune: { amount: 30 percent }\n").message).toContain("r.yaml:2:");
  });

  test("takes parts by reference, as YAML has it", () => {
    const text = "steps:\n  - train: &tune { epochs: 2 }\n  - prune: { amount: 0.5 }\n  - train: *tune\n";
    expect(parseRecipe(text).steps[2]).toEqual({ id: "train", options: { epochs: 2 } });
  });

  test("completed has the defaults of the pass and nothing of the run", () => {
    const kind = steps.get("train");
    if (kind === undefined) throw new Error("There is no step train.");
    const complete = completeOptions(kind, { epochs: 2 });
    expect(complete).toMatchObject({ epochs: 2, accumulate: 1, optimizer: "adam", schedule: "cosine" });
    expect(complete).not.toHaveProperty("data");
  });
});

describe("errors say where, what is accepted, and what was meant:", () => {
  test.each([
    ["a step that does not exist", "steps:\n  - trian: { epochs: 2 }", "r.yaml:2:5: steps[0].trian:", "train"],
    ["a mistyped option", "steps:\n  - train:\n      epoch: 2", "r.yaml:3:7: steps[0].train.epoch:", "epochs"],
    [
      "an option as other tools call it",
      "steps:\n  - train: { lr: 0.1 }",
      "r.yaml:2:14: steps[0].train.lr:",
      "learningRate",
    ],
    ["a mistyped choice", "steps:\n - quantize: { scheme: statc }", "r.yaml:2:24: steps[0].quantize.scheme:", "static"],
    ["a mistyped top name", "steps:\n - train:\nversoin: 1", "r.yaml:3:1: versoin:", "version"],
  ])("%s", (_, text, place, meant) => {
    const { message, hint } = wrong(text);
    expect(message.startsWith(place)).toBe(true);
    expect(hint).toBe(`Did you mean "${meant}"?`);
  });

  test.each([
    [
      "a text for a number",
      "steps:\n  - train: { epochs: lots }",
      'r.yaml:2:22: steps[0].train.epochs: expected a number, got "lots".',
    ],
    [
      "a number in quotes",
      '{"steps": [{"train": {"epochs": "2"}}]}',
      'r.yaml:1:33: steps[0].train.epochs: expected a number, got "2".',
    ],
    [
      "data to choose weights by",
      "steps:\n  - train: { validation: dev/ }",
      'r.yaml:2:26: steps[0].train.validation: data is not part of a recipe: "validation" is a share of the training samples, such as 10%, got "dev/".',
    ],
    [
      "a number out of range, in the pass's words",
      "steps:\n  - factorize: { energy: 1.4 }",
      "r.yaml:2:26: steps[0].factorize.energy: must be at most 1, got 1.4.",
    ],
    [
      "a wrong element of a list",
      "steps:\n  - train:\n      layers: [fc1, 3]",
      "r.yaml:3:21: steps[0].train.layers[1]: expected a text, got 3.",
    ],
    [
      "a missing option",
      "steps:\n  - quantize: {}",
      "r.yaml:2:15: steps[0].quantize: give exactly one of scheme and dtype.",
    ],
    [
      "options that contradict each other",
      "steps:\n  - factorize: { rank: 3, energy: 0.4 }",
      "r.yaml:2:16: steps[0].factorize: give at most one of rank, energy, ratio and budget.",
    ],
    [
      "data, which the run has",
      "steps:\n  - train: { data: mnist }",
      "r.yaml:2:14: steps[0].train.data: data is not part of a recipe: it is given to the run.",
    ],
    ["another version", "version: 2\nsteps:\n  - train:", "r.yaml:1:10: version: recipe version 2 is not supported"],
    ["a step of two names", "steps:\n - train:\n   quantize:", "r.yaml:3:4: steps[0].quantize: a step is one name"],
    ["a step that is a word", "steps: [train]", "r.yaml:1:9: steps[0]: a step is one name with its options"],
    ["options that are a number", "steps:\n - train: 3", "r.yaml:2:11: steps[0].train: expected the options of train"],
    ["no steps", "version: 1", 'r.yaml:1:1: steps: "steps" is a list of at least one step, got nothing.'],
    ["an empty list", "steps: []", 'r.yaml:1:8: steps: "steps" is a list of at least one step, got an empty list.'],
    ["an empty file", "", 'r.yaml:1:1: a recipe is an object with "steps", got nothing.'],
    ["a list at the top", "- train:", "r.yaml:1:1: a recipe is an object"],
    ["broken YAML", "steps:\n  - train: { epochs: 2\n", "r.yaml:3:1: invalid YAML:"],
    ["a key that comes twice", "steps:\n - train: { batch: 1, batch: 2 }", "r.yaml:2:23: invalid YAML:"],
    ["indentation by tabs", "steps:\n\t- train:", "r.yaml:2:1: invalid YAML:"],
  ])("%s", (_, text, message) => {
    expect(wrong(text).message).toContain(message);
  });

  test("an object has a path in place of a line", () => {
    const { message } = failure(() => recipeFrom({ steps: [{ train: {} }, { train: { epochs: 0 } }] }, "options"));
    expect(message).toBe("options: steps[1].train.epochs: expected at least 1, got 0.");
  });

  test("aliases that multiply are refused, not expanded", () => {
    const levels = Array.from({ length: 12 }, (_, level) => {
      const items = Array.from({ length: 12 }, () => (level === 0 ? "x" : `*a${level - 1}`)).join(", ");
      return `a${level}: &a${level} [${items}]`;
    });
    expect(wrong(`${levels.join("\n")}\nsteps: *a11`).message).toContain("invalid YAML");
  });
});

test("every step's options have a summary by which help, schema and documentation describe them", () => {
  for (const pass of steps.values()) {
    expect(pass.summary).not.toBe("");
  }
});
