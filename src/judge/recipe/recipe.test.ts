import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { PithError } from "../../core/errors.ts";
import { parseModel } from "../../core/graph/text.ts";
import { definePass } from "../../core/pass/pass.ts";
import { completeOptions } from "../steps/step-options.ts";
import { builtInPasses } from "./built-in-passes.ts";
import { recipeFrom } from "./check-recipe.ts";
import { maxCalibrationSamples, maxDistillationSamples, openSteps, recipeNameOf } from "./pass-steps.ts";
import { parseRecipe, recipeText } from "./recipe-text.ts";
import { searchedTechniques } from "./searched-techniques.ts";

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

test("a search combines all passes that offer moves", () => {
  const offering = [...builtInPasses.values()].filter(({ moves }) => moves !== undefined);
  expect(offering.map(({ id }) => id)).toEqual(searchedTechniques);
});

const wrong = (text: string) => failure(() => parseRecipe(text, "r.yaml"));

/** A recipe that repeats a step, which stands in line 4 from column 9 on. */
const repeated = (step: string) => `steps:
  - repeat: 3
    steps:
      - ${step}
`;

const recipeYaml = `version: 1
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
  ["quantize: { scheme: weights, rounder: gptq }", 200],
  ["quantize: { scheme: float16 }", 0],
  ["fake-quantize: {}", 0],
  ["fake-quantize: { scheme: static }", 200],
  ["prune: { amount: 0.5 }", 0],
  ["prune: { amount: 0.5, importance: wanda }", 256],
  ["prune: { amount: 0.5, solver: sparsegpt }", 256],
  ["lower-fused: {}", 0],
])("%s calibrates with %i samples", async (step, samples) => {
  expect(maxCalibrationSamples(await openSteps(parseRecipe(`version: 1\nsteps:\n  - ${step}\n`, "r.yaml")))).toBe(
    samples,
  );
});

describe("a recipe", () => {
  test("has its steps in order, with their options", async () => {
    const recipe = parseRecipe(recipeYaml);
    expect(recipe.version).toBe(1);
    expect((await openSteps(recipe)).map(({ id }) => id)).toEqual([
      "prune",
      "train",
      "distill",
      "factorize",
      "quantize",
    ]);
    expect(recipe.steps[0]).toEqual({ id: "prune", options: { structured: true, amount: 0.3 } });
  });

  test("is equal if read from YAML, JSON, an object or its own text", async () => {
    const recipe = parseRecipe(recipeYaml);
    const data = { version: 1, steps: (await openSteps(recipe)).map(({ id, options }) => ({ [id]: options })) };
    expect(parseRecipe(JSON.stringify(data))).toEqual(recipe);
    expect(recipeFrom(data)).toEqual(recipe);
    expect(parseRecipe(recipeText(recipe))).toEqual(recipe);
  });

  test("is equal if an editor wrote it with CRLF and a byte order mark", () => {
    const text = `\uFEFF${recipeYaml.replaceAll("\n", "\r\n")}`;
    expect(parseRecipe(text)).toEqual(parseRecipe(recipeYaml));
  });

  test("requires no version and no options, and can name its schema", () => {
    expect(parseRecipe("$schema: x.json\nsteps:\n  - train:\n")).toEqual({
      version: 1,
      steps: [{ id: "train", options: {} }],
    });
  });

  test("accepts shares in percent", async () => {
    const text = "steps:\n  - prune: { amount: 30% }\n  - factorize: { budget: 97.5 % }\n";
    expect((await openSteps(parseRecipe(text))).map(({ options }) => options)).toEqual([
      { amount: 0.3 },
      { budget: 0.975 },
    ]);
    expect(wrong("steps:\n  - prune: { amount: 30 percent }\n").message).toContain("r.yaml:2:");
  });

  test("accepts YAML anchors and aliases", () => {
    const text = "steps:\n  - train: &tune { epochs: 2 }\n  - prune: { amount: 0.5 }\n  - train: *tune\n";
    expect(parseRecipe(text).steps[2]).toEqual({ id: "train", options: { epochs: 2 } });
  });

  test("gets the defaults of the pass, but no data, from completeOptions", () => {
    const kind = builtInPasses.get("train");
    if (kind === undefined) throw new Error("There is no step train.");
    const complete = completeOptions(kind, { epochs: 2 });
    expect(complete).toMatchObject({ epochs: 2, accumulate: 1, optimizer: "adam", schedule: "cosine" });
    expect(complete).not.toHaveProperty("data");
  });
});

const gradual = `steps:
  - prune: { amount: 10% }
  - repeat: 3
    steps:
      - prune: { amount: { from: 5%, to: 80%, curve: cubic }, keepMasks: true }
      - train: { epochs: { from: 1, to: 3 } }
  - quantize: { scheme: static }
`;

describe("a repeat", () => {
  test("runs its steps in each round, with numbers along a schedule, rounded for integer options", async () => {
    const recipe = parseRecipe(gradual);
    expect(recipe.steps[1]).toEqual({
      repeat: 3,
      steps: [
        { id: "prune", options: { amount: { from: 0.05, to: 0.8, curve: "cubic" }, keepMasks: true } },
        { id: "train", options: { epochs: { from: 1, to: 3 } } },
      ],
    });
    // 0.8 − 0.75 × 8/27, 0.8 − 0.75 × 1/27; 1 + 2/3 and 1 + 4/3 are rounded.
    expect((await openSteps(recipe)).map(({ name, options, judged }) => [name, options, judged])).toEqual([
      ["prune 1", { amount: 0.1 }, true],
      ["prune 2, round 1 of 3", { amount: 0.577777777778, keepMasks: true }, false],
      ["train, round 1 of 3", { epochs: 2 }, false],
      ["prune 2, round 2 of 3", { amount: 0.772222222222, keepMasks: true }, false],
      ["train, round 2 of 3", { epochs: 2 }, false],
      ["prune 2, round 3 of 3", { amount: 0.8, keepMasks: true }, false],
      ["train, round 3 of 3", { epochs: 3 }, true],
      ["quantize", { scheme: "static" }, true],
    ]);
    expect(recipeNameOf(recipe)).toBe("prune 1 + 3 × (prune 2 + train) + quantize");
    expect(recipeNameOf(parseRecipe("steps:\n  - repeat: 4\n    steps:\n      - train:\n"))).toBe("4 × train");
  });

  test("is equal if read from YAML, JSON, an object or its own text", () => {
    const recipe = parseRecipe(`${gradual}    judge: true\n`);
    expect(parseRecipe(recipeText(recipe))).toEqual(recipe);
    expect(recipeText(parseRecipe(recipeText(recipe)))).toBe(recipeText(recipe));
    const object = {
      steps: [{ repeat: 2, steps: [{ train: { epochs: { from: 1, to: 2 } }, judge: true }, { remove: null }] }],
    };
    expect(recipeFrom(object)).toEqual(parseRecipe(JSON.stringify(object)));
    expect(recipeText(recipeFrom(object))).toBe(`version: 1
steps:
  - repeat: 2
    steps:
      - train:
          epochs:
            from: 1
            to: 2
        judge: true
      - remove: {}
`);
  });

  test("varies numbers in nested options, but not options that a pass calls from and to", async () => {
    const customPass = definePass({
      id: "own",
      summary: "takes a range",
      options: v.object({ range: v.object({ from: v.number(), to: v.number() }), list: v.array(v.number()) }),
      run: async () => ({ changes: [], misses: [] }),
    });
    const repeated = [
      { prune: { amount: 0.1, overrides: { from: { amount: { from: 0, to: 0.5 } } } } },
      { own: { range: { from: 1, to: 3 }, list: [1, { from: 0, to: 8, curve: "linear" }] } },
    ];
    const recipe = recipeFrom({ steps: [{ repeat: 2, steps: repeated }] }, "recipe", [customPass]);
    expect((await openSteps(recipe, [customPass])).map(({ options }) => options)).toEqual([
      { amount: 0.1, overrides: { from: { amount: 0.25 } } },
      { range: { from: 1, to: 3 }, list: [1, 4] },
      { amount: 0.1, overrides: { from: { amount: 0.5 } } },
      { range: { from: 1, to: 3 }, list: [1, 8] },
    ]);
  });

  test("accepts a custom curve as a function, which has no text form", async () => {
    const amount = { from: 0, to: 0.4, curve: (t: number) => t ** 2 };
    const recipe = recipeFrom({ steps: [{ repeat: 2, steps: [{ prune: { amount } }] }] });
    expect((await openSteps(recipe)).map(({ options }) => options)).toEqual([{ amount: 0.1 }, { amount: 0.4 }]);
    expect(failure(() => recipeText(recipe)).message).toBe(
      '"curve" is a function, which a recipe in text cannot have.',
    );
  });

  test("a recipe accepts a model as an object, which has no text form", async () => {
    const teacher = parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Relu(x)\n}");
    const recipe = recipeFrom({ steps: [{ distill: { teacher } }] });
    expect((await openSteps(recipe))[0]?.options.teacher).toBe(teacher);
    expect(failure(() => recipeText(recipe)).message).toBe(
      '"teacher" is an object, which a recipe in text cannot have.',
    );
  });

  test("evaluates steps as `judge` states, and by default only its last step", async () => {
    const judged = async (text: string) => (await openSteps(parseRecipe(text))).map((step) => step.judged);
    const repeat = "- repeat: 2\n    steps:\n      - train:\n        judge: true\n      - prune: { amount: 0.1 }\n";
    expect(await judged(`steps:\n  ${repeat}`)).toEqual([true, false, true, true]);
    expect(await judged(`steps:\n  ${repeat}        judge: false\n  - train:\n    judge: false\n  - train:`)).toEqual([
      ...[true, false, true, false],
      false,
      true,
    ]);
  });

  test("requires the samples of the round with the largest number", async () => {
    const inside = "- quantize: { scheme: static, samples: { from: 10, to: 50 } }\n      - recover: { samples: 7 }";
    const recipe = parseRecipe(`steps:\n  - repeat: 4\n    steps:\n      ${inside}`);
    expect(maxCalibrationSamples(await openSteps(recipe))).toBe(50);
    expect(maxDistillationSamples(await openSteps(recipe))).toBe(7);
  });
});

describe("a recipe error", () => {
  test.each([
    ["a step that does not exist", "steps:\n  - trian: { epochs: 2 }", "r.yaml:2:5: steps[0].trian:", "train"],
    ["a mistyped option", "steps:\n  - train:\n      epoch: 2", "r.yaml:3:7: steps[0].train.epoch:", "epochs"],
    [
      "an option name of other tools",
      "steps:\n  - train: { lr: 0.1 }",
      "r.yaml:2:14: steps[0].train.lr:",
      "learningRate",
    ],
    ["a mistyped choice", "steps:\n - quantize: { scheme: statc }", "r.yaml:2:24: steps[0].quantize.scheme:", "static"],
    ["a mistyped top name", "steps:\n - train:\nversoin: 1", "r.yaml:3:1: versoin:", "version"],
    ["a mistyped repeat", "steps:\n - repaet: 3\n   steps: [train: ]", "r.yaml:2:4: steps[0].repaet:", "repeat"],
    ["a mistyped list", "steps:\n - repeat: 3\n   stpes: [train: ]", "r.yaml:3:4: steps[0].stpes:", "steps"],
    ["a mistyped judge", "steps:\n - train:\n   jugde: true", "r.yaml:3:4: steps[0].jugde:", "judge"],
    [
      "a mistyped curve",
      repeated("prune: { amount: { from: 5%, to: 80%, curve: cubci } }"),
      "r.yaml:4:54: steps[0].steps[0].prune.amount.curve:",
      "cubic",
    ],
    [
      "a mistyped key of a schedule",
      repeated("prune: { amount: { from: 5%, to: 80%, crve: cubic } }"),
      "r.yaml:4:47: steps[0].steps[0].prune.amount.crve:",
      "curve",
    ],
    [
      "a mistyped option in a repeat",
      repeated("train: { epoch: 2 }"),
      "r.yaml:4:18: steps[0].steps[0].train.epoch:",
      "epochs",
    ],
  ])("states the position and suggests the intended name: %s", (_, text, place, meant) => {
    const { message, hint } = wrong(text);
    expect(message.startsWith(place)).toBe(true);
    expect(hint).toBe(`Did you mean "${meant}"?`);
  });

  test.each([
    [
      "a text for a number",
      "steps:\n  - train: { warmup: lots }",
      'r.yaml:2:22: steps[0].train.warmup: expected a number, got "lots".',
    ],
    [
      "a number in quotes",
      '{"steps": [{"train": {"warmup": "2"}}]}',
      'r.yaml:1:33: steps[0].train.warmup: expected a number, got "2".',
    ],
    [
      "data as validation",
      "steps:\n  - train: { validation: dev/ }",
      'r.yaml:2:26: steps[0].train.validation: data is not part of a recipe: "validation" is a share of the training samples, such as 10%, got "dev/".',
    ],
    [
      "a number out of range, with the message of the pass",
      "steps:\n  - factorize: { budget: 1.4 }",
      "r.yaml:2:26: steps[0].factorize.budget: must be at most 1, got 1.4.",
    ],
    [
      "a wrong element of a list",
      "steps:\n  - train:\n      layers: [fc1, 3]",
      "r.yaml:3:21: steps[0].train.layers[1]: expected a text, got 3.",
    ],
    [
      "a missing option",
      "steps:\n  - quantize: {}",
      "r.yaml:2:15: steps[0].quantize: give exactly one of `scheme` and `dtype`.",
    ],
    [
      "options that contradict each other",
      "steps:\n  - factorize: { rank: 3, budget: 0.4 }",
      "r.yaml:2:16: steps[0].factorize: give at most one of `budget` and `rank`.",
    ],
    [
      "data, which is not part of a recipe",
      "steps:\n  - train: { data: mnist }",
      "r.yaml:2:14: steps[0].train.data: data is not part of a recipe: it is given to the run.",
    ],
    ["another version", "version: 2\nsteps:\n  - train:", "r.yaml:1:10: version: recipe version 2 is not supported"],
    ["a step with two names", "steps:\n - train:\n   quantize:", "r.yaml:3:4: steps[0].quantize: a step is one name"],
    ["a step that is a word", "steps: [train]", "r.yaml:1:9: steps[0]: a step is one name with its options"],
    ["options that are a number", "steps:\n - train: 3", "r.yaml:2:11: steps[0].train: expected the options of train"],
    ["no steps", "version: 1", 'r.yaml:1:1: steps: "steps" is a list of at least one step, got nothing.'],
    ["an empty list", "steps: []", 'r.yaml:1:8: steps: "steps" is a list of at least one step, got an empty list.'],
    ["an empty file", "", 'r.yaml:1:1: a recipe is an object with "steps", got nothing.'],
    ["a list at the top", "- train:", "r.yaml:1:1: a recipe is an object"],
    ["broken YAML", "steps:\n  - train: { epochs: 2\n", "r.yaml:3:1: invalid YAML:"],
    ["a duplicate key", "steps:\n - train: { batch: 1, batch: 2 }", "r.yaml:2:23: invalid YAML:"],
    ["indentation by tabs", "steps:\n\t- train:", "r.yaml:2:1: invalid YAML:"],
  ])("states the position and the reason: %s", (_, text, message) => {
    expect(wrong(text).message).toContain(message);
  });

  test.each([
    [
      "a schedule outside of a repeat",
      "steps:\n  - prune: { amount: { from: 5%, to: 80% } }",
      'r.yaml:2:22: steps[0].prune.amount: only a step inside "repeat" has values that change, got {"from":0.05,"to":0.8}.',
      'Put the step into one: "repeat: 10", and the step in its "steps".',
    ],
    [
      "a schedule without an end",
      repeated("prune: { amount: { from: 5% } }"),
      'r.yaml:4:26: steps[0].steps[0].prune.amount: "to" is missing: expected a number.',
    ],
    [
      "a bound that is a text",
      repeated("prune: { amount: { from: low, to: 80% } }"),
      'r.yaml:4:34: steps[0].steps[0].prune.amount.from: expected a number, got "low".',
    ],
    [
      "a bound that is infinite",
      repeated("train: { epochs: { from: 1, to: .inf } }"),
      "r.yaml:4:41: steps[0].steps[0].train.epochs.to: expected a finite number, got Infinity.",
    ],
    [
      "a value that the pass rejects, with its round",
      repeated("prune: { amount: { from: 0, to: 120% } }"),
      "r.yaml:4:26: steps[0].steps[0].prune.amount: in round 3 of 3: takes a number from 0 to 1, got 1.2.",
    ],
    [
      "a curve without a value",
      repeated("prune: { amount: { from: 0, to: 20%, curve: exponential } }"),
      'r.yaml:4:53: steps[0].steps[0].prune.amount.curve: "exponential" does not lead from 0 to 0.2.',
      'Each round multiplies by one factor, so both ends have to be above 0; "linear" and "cubic" lead from anywhere to anywhere.',
    ],
    [
      "a schedule for an option that is not a number",
      repeated("prune: { amount: 0.5, keepMasks: { from: 0, to: 1 } }"),
      'r.yaml:4:42: steps[0].steps[0].prune.keepMasks: expected true or false, got {"from":0,"to":1}.',
    ],
    [
      "options that contradict each other in a repeat",
      repeated("factorize: { rank: { from: 9, to: 3 }, budget: 0.4 }"),
      "r.yaml:4:20: steps[0].steps[0].factorize: give at most one of `budget` and `rank`.",
    ],
    [
      "a repeat in a repeat",
      repeated("repeat: 2\n        steps: [train: ]"),
      "r.yaml:4:9: steps[0].steps[0].repeat: a repeat has no repeats inside.",
    ],
    [
      "a step next to a repeat",
      "steps:\n  - repeat: 3\n    train: { epochs: 1 }",
      'r.yaml:3:5: steps[0].train: "train" cannot be next to "repeat", only repeat and steps.',
      'It belongs to "steps".',
    ],
    [
      "a repeat without steps",
      "steps:\n  - repeat: 3",
      'r.yaml:2:5: steps[0].steps: "steps" is a list of at least one step, got nothing.',
    ],
    [
      "a fraction of a round",
      "steps:\n  - repeat: 2.5\n    steps: [train: ]",
      'r.yaml:2:13: steps[0].repeat: "repeat" is an integer number of rounds from 1 to 1,000, got 2.5.',
    ],
    [
      "judge: false for the last step",
      repeated("train:\n        judge: false"),
      "r.yaml:5:16: steps[0].steps[0].judge: the last step of a recipe is always judged: that decides whether its result is kept.",
    ],
    [
      "judge as a text",
      "steps:\n  - train:\n    judge: sometimes",
      'r.yaml:3:12: steps[0].judge: expected true, false or fallback, got "sometimes".',
    ],
  ])("states the position, the reason and a hint: %s", (_, text, message, hint?: string) => {
    expect(wrong(text)).toEqual({ message, hint });
  });

  test("states the path instead of the line if the recipe is an object", () => {
    const { message } = failure(() => recipeFrom({ steps: [{ train: {} }, { train: { patience: 0 } }] }, "options"));
    expect(message).toBe("options: steps[1].train.patience: expected at least 1, got 0.");
  });

  test.each([
    ["10,001 steps", `steps:\n${"  - train:\n".repeat(10_001)}`],
    ["rounds of a repeat", `steps:\n  - repeat: 1000\n    steps: [${"{ train: }, ".repeat(11)}]\n`],
    ["several repeats", `steps:\n${"  - { repeat: 1000, steps: [{ train: }, { train: }] }\n".repeat(6)}`],
  ])("rejects more than 10,000 steps in all: %s", (_, text) => {
    expect(wrong(text).message).toMatch(
      /steps: expected at most 10,000 steps, counting those of each round, got 1\d,\d/,
    );
  });

  test("accepts 10,000 steps, and names each", async () => {
    const recipe = recipeFrom({
      steps: [{ repeat: 999, steps: Array(10).fill({ train: {} }) }, ...Array(10).fill({ prune: { amount: 0.5 } })],
    });
    expect(await openSteps(recipe)).toHaveLength(10_000);
    const many = recipeFrom({ steps: Array(10_000).fill({ train: {} }) });
    expect((await openSteps(many)).at(-1)?.name).toBe("train 10000");
  });

  test("rejects a text of more than 1 MiB before it is read", () => {
    expect(wrong(`${"#".repeat(2 ** 20)}\nsteps: [`)).toEqual({
      message: "r.yaml: expected at most 1 MiB of text, got 1,048,585 characters.",
      hint: 'Use "repeat" for steps that come again.',
    });
  });

  test.each([
    "steps:\n  - prune: &a { overrides: *a }\n",
    "steps: &a\n  - repeat: 2\n    steps: *a\n",
    "&a { steps: *a }",
    `steps: ${"[".repeat(100)}${"]".repeat(100)}`,
  ])("rejects %j, which contains itself or is nested too deeply", (text) => {
    expect(wrong(text).message).toMatch(/^r\.yaml:1:\d: expected at most 20 levels, got values nested deeper/);
  });

  test("rejects an object that contains itself", () => {
    const steps: unknown[] = [];
    steps.push({ repeat: 2, steps });
    expect(failure(() => recipeFrom({ steps }, "options")).message).toContain("expected at most 20 levels");
  });

  test("rejects text nested so deep that the parser gives up", () => {
    const depth = 20_000;
    for (const text of [
      `{"steps": ${"[".repeat(depth)}${"]".repeat(depth)}}`,
      `${"a: {".repeat(depth)}${"}".repeat(depth)}`,
    ])
      expect(wrong(text).message).toContain("expected at most 20 levels");
  });

  test("rejects aliases that multiply, without expanding them", () => {
    const levels = Array.from({ length: 12 }, (_, level) => {
      const items = Array.from({ length: 12 }, () => (level === 0 ? "x" : `*a${level - 1}`)).join(", ");
      return `a${level}: &a${level} [${items}]`;
    });
    expect(wrong(`${levels.join("\n")}\nsteps: *a11`).message).toContain("invalid YAML");
  });
});

test("every step has a summary", () => {
  for (const pass of builtInPasses.values()) {
    expect(pass.summary).not.toBe("");
  }
});
