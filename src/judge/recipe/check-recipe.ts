/** Checks recipes: names of passes, their options and their schedules. */
import * as v from "valibot";
import { asPithError, integer, isObject, stripPeriod } from "#ir";
import {
  type AnyPass,
  didYouMean,
  keyProblem,
  namesAt,
  type OptionValues,
  omitOptions,
  problemOf,
  valueText,
  wording,
} from "#pass";
import { runOptionNames } from "../steps/step-options.ts";
import { passesById } from "./built-in-passes.ts";
import { findSchedules, type KeyPath, optionsInRound, scheduleSchema, valueInRound } from "./option-schedules.ts";
import { type Recipe, type RecipeSamples, type RecipeStep, type Repeat, recipeVersion } from "./recipe.ts";
import { fail, requireShallow, type YamlText } from "./yaml-source.ts";

/**
 * Checks a recipe written as a plain object, in the form of the YAML.
 * @throws PithError E_OPTION as `parseRecipe`, with a path instead of a line.
 * @example
 * const recipe = recipeFrom({ steps: [{ train: { epochs: 2 } }, { quantize: { scheme: "static" } }] });
 */
export function recipeFrom(data: unknown, name = "recipe", passes: readonly AnyPass[] = []): Recipe {
  return checkRecipe({ data, locate: () => name }, passesById(passes));
}

type Passes = ReadonlyMap<string, AnyPass>;

const recipeKeys = ["version", "samples", "steps"];

export function checkRecipe(source: YamlText, passes: Passes): Recipe {
  const { data } = source;
  requireShallow(source);
  if (!isObject(data)) fail(source, [], "value", `a recipe is an object with "steps", got ${kindOf(data)}`);
  for (const key of Object.keys(data)) {
    // Editors use `$schema` to find the schema of a JSON file.
    if (recipeKeys.includes(key) || key === "$schema") continue;
    const reason = `a recipe has no key "${key}", only ${recipeKeys.join(" and ")}`;
    fail(source, [key], "key", reason, didYouMean(key, recipeKeys));
  }
  const { version = recipeVersion, samples, steps: list } = data;
  if (version !== recipeVersion) {
    fail(source, ["version"], "value", `recipe version ${valueText(version)} is not supported, only ${recipeVersion}`);
  }
  if (!Array.isArray(list) || list.length === 0)
    fail(source, ["steps"], "value", `"steps" is a list of at least one step, got ${kindOf(list)}`);
  const recipeSamples = samples === undefined ? {} : { samples: checkSamples(source, samples) };
  return { version: recipeVersion, ...recipeSamples, steps: checkList(source, list, passes) };
}

function checkSamples(source: YamlText, samples: unknown): RecipeSamples {
  const { calibration, training } = isObject(samples) ? samples : {};
  const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0;
  if (isCount(calibration) && (isCount(training) || training === "all")) return { calibration, training };
  const expectation = '"samples" is like { calibration: 256, training: all }, with numbers of samples';
  return fail(source, ["samples"], "value", `${expectation}, got ${JSON.stringify(samples)}`);
}

const maxSteps = 10_000;

function checkList(source: YamlText, list: readonly unknown[], passes: Passes): Recipe["steps"] {
  const last = list.length - 1;
  const total = list.reduce<number>((sum, entry) => sum + countSteps(entry), 0);
  if (total > maxSteps) {
    const reason = `expected at most ${integer(maxSteps)} steps, counting those of each round, got ${integer(total)}`;
    fail(source, ["steps"], "value", reason);
  }
  return list.map((entry, index) => {
    const path = ["steps", index];
    if (isObject(entry) && "repeat" in entry) return checkRepeat(source, path, entry, passes, index === last);
    return checkStep(source, path, entry, passes, { isLast: index === last });
  });
}

function countSteps(entry: unknown): number {
  if (!isObject(entry) || typeof entry.repeat !== "number" || !Array.isArray(entry.steps)) return 1;
  return Math.max(1, entry.repeat * entry.steps.length);
}

const repeatKeys = ["repeat", "steps"];
/** Limits the disk space: the output of each step is stored until the run ends. */
export const maxRounds = 1000;

function checkRepeat(
  source: YamlText,
  path: KeyPath,
  repeatOptions: Readonly<Record<string, unknown>>,
  passes: Passes,
  isLast: boolean,
): Repeat {
  for (const key of Object.keys(repeatOptions)) {
    if (repeatKeys.includes(key)) continue;
    const reason = `"${key}" cannot be next to "repeat", only ${repeatKeys.join(" and ")}`;
    const hint = key === "judge" || passes.has(key) ? 'It belongs to "steps".' : didYouMean(key, repeatKeys);
    fail(source, [...path, key], "key", reason, hint);
  }
  const { repeat, steps: list } = repeatOptions;
  if (typeof repeat !== "number" || !Number.isInteger(repeat) || repeat < 1 || repeat > maxRounds) {
    const reason = `"repeat" is an integer number of rounds from 1 to ${integer(maxRounds)}, got ${kindOf(repeat)}`;
    fail(source, [...path, "repeat"], "value", reason);
  }
  if (!Array.isArray(list) || list.length === 0) {
    fail(source, [...path, "steps"], "value", `"steps" is a list of at least one step, got ${kindOf(list)}`);
  }
  const steps = list.map((entry: unknown, index) => {
    const stepPath = [...path, "steps", index];
    if (isObject(entry) && "repeat" in entry)
      fail(source, [...stepPath, "repeat"], "key", "a repeat has no repeats inside");
    return checkStep(source, stepPath, entry, passes, { rounds: repeat, isLast: isLast && index === list.length - 1 });
  });
  return { repeat, steps };
}

interface StepPosition {
  readonly rounds?: number;
  readonly isLast: boolean;
}

function checkStep(source: YamlText, path: KeyPath, step: unknown, passes: Passes, position: StepPosition): RecipeStep {
  const names = [...passes.keys()];
  const expectation = 'a step is one name with its options, like "train: { epochs: 2 }"';
  if (!isObject(step)) fail(source, path, "value", `${expectation}, got ${kindOf(step)}`);
  const [id, extraKey] = Object.keys(step).filter((key) => key !== "judge");
  if (id === undefined) fail(source, path, "value", `${expectation}, got none`);
  const pass = passes.get(id);
  if (pass === undefined) {
    const reason = `"${id}" is not a step; steps are ${names.join(", ")}`;
    fail(
      source,
      [...path, id],
      "key",
      reason,
      didYouMean(id, position.rounds === undefined ? [...names, "repeat"] : names),
    );
  }
  if (extraKey !== undefined) {
    const reason = `${expectation}; start a new step with "-" for "${extraKey}", or indent it below "${id}"`;
    fail(source, [...path, extraKey], "key", reason, didYouMean(extraKey, ["judge"]));
  }
  const stepOptions = withShares(step[id] ?? {});
  if (!isObject(stepOptions))
    fail(source, [...path, id], "value", `expected the options of ${id}, got ${kindOf(stepOptions)}`);
  checkRounds(source, [...path, id], pass, stepOptions, position.rounds);
  const { judge } = step;
  if (judge === undefined) return { id, options: stepOptions };
  const judgePath = [...path, "judge"];
  if (judge === "fallback" && pass.fallbackOverrides !== undefined) return { id, options: stepOptions, judge };
  if (judge === "fallback")
    fail(source, judgePath, "value", `${id} has no higher-precision form for individual layers`, "quantize has.");
  if (typeof judge !== "boolean")
    fail(source, judgePath, "value", `expected true, false or fallback, got ${kindOf(judge)}`);
  if (!judge && position.isLast) {
    fail(
      source,
      judgePath,
      "value",
      "the last step of a recipe is always judged: that decides whether its result is kept",
    );
  }
  return { id, options: stepOptions, judge };
}

function checkRounds(source: YamlText, path: KeyPath, pass: AnyPass, options: OptionValues, rounds?: number): void {
  const schedules = findSchedules(pass, options);
  for (const schedule of schedules) checkSchedule(source, [...path, ...schedule.path], schedule.schedule, rounds);
  if (rounds === undefined || schedules.length === 0) {
    checkOptions(source, path, pass, options, () => "");
    return;
  }
  const schedulePaths = new Set(schedules.map((schedule) => schedule.path.join()));
  for (let number = 1; number <= rounds; number++) {
    const roundPrefix = (path: KeyPath): string =>
      schedulePaths.has(path.join()) ? `in round ${number} of ${rounds}: ` : "";
    checkOptions(source, path, pass, optionsInRound(pass, options, { number, total: rounds }), roundPrefix);
  }
}

function checkSchedule(source: YamlText, path: KeyPath, schedule: unknown, rounds: number | undefined): void {
  if (rounds === undefined) {
    const reason = `only a step inside "repeat" has values that change, got ${valueText(schedule)}`;
    fail(source, path, "value", reason, 'Put the step into one: "repeat: 10", and the step in its "steps".');
  }
  const result = v.safeParse(scheduleSchema, schedule, wording);
  if (!result.success) {
    const misfit = problemOf(scheduleSchema, result.issues, "a value that changes");
    fail(source, [...path, ...misfit.path], misfit.part, misfit.sentence, misfit.hint);
  }
  try {
    for (let number = 1; number <= rounds; number++) valueInRound(number, rounds, result.output);
  } catch (error) {
    const { sentence, hint } = asPithError(error);
    fail(source, [...path, "curve"], "value", stripPeriod(sentence), hint);
  }
}

/** "30%" becomes 0.3, at any depth. */
export function withShares(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withShares);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withShares(inner)]));
  const percentage = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?%$/.exec(value)?.[1] : undefined;
  return percentage === undefined ? value : Number(percentage) / 100;
}

const judgePlacementHint = 'Write it next to the step: "- train: { epochs: 1 }", and "judge" below "train".';

function checkOptions(
  source: YamlText,
  path: KeyPath,
  pass: AnyPass,
  stepOptions: OptionValues,
  prefixOf: (at: KeyPath) => string,
): void {
  const { id } = pass;
  const schema = omitOptions(pass.options, runOptionNames);
  const acceptedNames = namesAt(schema);
  for (const name of Object.keys(stepOptions)) {
    if (acceptedNames.includes(name)) continue;
    if (name === "data" && pass.data !== undefined)
      fail(source, [...path, name], "key", "data is not part of a recipe: it is given to the run");
    const { sentence, hint } = keyProblem([name], acceptedNames, id);
    fail(source, [...path, name], "key", sentence, name === "judge" ? judgePlacementHint : hint);
  }
  if (typeof stepOptions.validation === "string" && pass.data !== undefined) {
    const reason = `data is not part of a recipe: "validation" is a share of the training samples, such as 10%, got ${valueText(stepOptions.validation)}`;
    fail(source, [...path, "validation"], "value", reason);
  }
  const result = v.safeParse(schema, stepOptions, wording);
  if (result.success) return;
  const misfit = problemOf(schema, result.issues, id);
  fail(source, [...path, ...misfit.path], misfit.part, `${prefixOf(misfit.path)}${misfit.sentence}`, misfit.hint);
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  return Array.isArray(value) ? (value.length === 0 ? "an empty list" : "a list") : valueText(value);
}
