/**
 * Recipes: techniques in order, each with its options, as YAML, JSON or a plain object.
 *
 *     version: 1
 *     steps:
 *       - factorize: { layers: fc1, rank: 32 }
 *       - distill: { teacher: original, temperature: 4, epochs: 3 }
 *       - quantize: { scheme: static }
 *
 * A step is one word, a pass, with the pass's own options. Data is not part of a recipe: the run has it. A share may be written as "30%".
 */

import * as v from "valibot";
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, stringify } from "yaml";
import { PithError } from "../errors.ts";
import { nearest } from "../graph/nearest.ts";
import type { AnyPass, OptionValues } from "../passes/index.ts";
import { openModules } from "../passes/modules.ts";
import { inWords, misfitOf, shown, unknownName } from "../passes/option-errors.ts";
import { namesAt } from "../passes/schema.ts";
import { completeOptions, filledIn, standIns } from "../run/step.ts";
import { byId, steps as own } from "./steps.ts";

/** The form of recipes that this version reads. */
export const recipeVersion = 1;

export interface Recipe {
  readonly version: typeof recipeVersion;
  readonly steps: readonly RecipeStep[];
}

export interface RecipeStep {
  /** The id of a pass: "prune", "train", "quantize", … */
  readonly id: string;
  /** As they were given; the pass fills in its defaults. */
  readonly options: OptionValues;
}

export interface PassStep extends RecipeStep {
  readonly pass: AnyPass;
}

/**
 * Reads a recipe from YAML or JSON.
 * @param name what errors call it: the file's name.
 * @param passes of your own, which it may name beside Pith's.
 * @throws PithError E_OPTION with file, line and column of the first thing that does not fit, what is accepted there, and for a mistyped
 * name the nearest that exists.
 * @example
 * const recipe = parseRecipe("steps:\n  - quantize: { scheme: dynamic }\n", "recipe.yaml");
 */
export function parseRecipe(text: string, name = "recipe", passes: readonly AnyPass[] = []): Recipe {
  return check(readSource(text, name), known(passes));
}

/**
 * Checks a recipe written as a plain object, in the form of the YAML.
 * @throws PithError E_OPTION as `parseRecipe`, with a path instead of a line.
 * @example
 * const recipe = recipeFrom({ steps: [{ train: { epochs: 2 } }, { quantize: { scheme: "static" } }] });
 */
export function recipeFrom(data: unknown, name = "recipe", passes: readonly AnyPass[] = []): Recipe {
  return check({ data, at: () => name }, known(passes));
}

type Passes = ReadonlyMap<string, AnyPass>;

const known = (passes: readonly AnyPass[]): Passes => byId([...own.values(), ...passes]);

/**
 * The steps of a recipe with their passes, of which some may be the caller's own.
 * @throws PithError E_OPTION for a step that there is not.
 */
export function stepsOf(recipe: Recipe, passes: readonly AnyPass[] = []): readonly PassStep[] {
  const all = known(passes);
  return recipe.steps.map((step) => {
    const pass = all.get(step.id);
    if (pass === undefined) throw new PithError("E_OPTION", `There is no step "${step.id}".`);
    return { ...step, pass };
  });
}

/** A recipe as YAML. */
export function recipeText(recipe: Recipe): string {
  const list = recipe.steps.map(({ id, options }) => ({ [id]: options }));
  return stringify({ version: recipe.version, steps: list }, { lineWidth: 120 });
}

/** The recipe with what modules export in the place of their paths. @throws PithError as `openModules`. */
export async function openRecipe(recipe: Recipe): Promise<Recipe> {
  const opened = stepsOf(recipe).map(async ({ id, options, pass }) => ({
    id,
    options: await openModules(id, pass.options, options),
  }));
  return { ...recipe, steps: await Promise.all(opened) };
}

/** Samples that the steps of a recipe want to measure on: the most that one of them wants, 0 where none measures. */
export function calibrationSamples(recipe: Recipe, passes: readonly AnyPass[] = []): number {
  return mostSamples(
    recipe,
    passes,
    ({ data }, options) => typeof data === "object" && data.when(options) !== undefined,
  );
}

/** Samples of data in one part that the steps learn another model's answers on, Infinity for as many as there are: the most that one of them wants. */
export function samplesToLearnFrom(recipe: Recipe, passes: readonly AnyPass[] = []): number {
  return mostSamples(recipe, passes, ({ learnsAnswers }) => learnsAnswers === true);
}

function mostSamples(
  recipe: Recipe,
  passes: readonly AnyPass[],
  wants: (pass: AnyPass, options: OptionValues) => boolean,
): number {
  const wanted = stepsOf(recipe, passes).map(({ pass, options }) => {
    const complete = completeOptions(pass, options);
    if (!wants(pass, complete)) return 0;
    if (typeof complete.samples === "number") return complete.samples;
    return pass.data === "train" ? Number.POSITIVE_INFINITY : 0;
  });
  return Math.max(0, ...wanted);
}

const topNames = ["version", "steps"];

function check(source: Source, passes: Passes): Recipe {
  const { data } = source;
  if (!isObject(data)) fail(source, [], "value", `a recipe is an object with "steps", got ${kindOf(data)}`);
  for (const key of Object.keys(data)) {
    // Editors find the schema of a JSON file by this.
    if (topNames.includes(key) || key === "$schema") continue;
    const reason = `there is no "${key}" in a recipe; it has ${topNames.join(" and ")}`;
    fail(source, [key], "key", reason, didYouMean(key, topNames));
  }
  const { version = recipeVersion, steps: list } = data;
  if (version !== recipeVersion) {
    fail(source, ["version"], "value", `recipe version ${shown(version)} is not supported, only ${recipeVersion}`);
  }
  if (!Array.isArray(list) || list.length === 0)
    fail(source, ["steps"], "value", `"steps" is a list of at least one step, got ${kindOf(list)}`);
  const given: readonly unknown[] = list;
  return { version: recipeVersion, steps: given.map((step, index) => checkStep(source, step, index, passes)) };
}

function checkStep(source: Source, step: unknown, index: number, passes: Passes): RecipeStep {
  const names = [...passes.keys()];
  const path = ["steps", index];
  const form = 'a step is one name with its options, like "train: { epochs: 2 }"';
  if (!isObject(step)) fail(source, path, "value", `${form}, got ${kindOf(step)}`);
  const [id, ...more] = Object.keys(step);
  if (id === undefined) fail(source, path, "value", `${form}, got none`);
  const pass = passes.get(id);
  if (pass === undefined) {
    const reason = `there is no step "${id}"; steps are ${names.join(", ")}`;
    fail(source, [...path, id], "key", reason, didYouMean(id, names));
  }
  const [second] = more;
  if (second !== undefined) {
    fail(source, [...path, second], "key", `${form}; "${second}" needs a "-" of its own, or belongs inside "${id}"`);
  }
  const given = withShares(step[id] ?? {});
  if (!isObject(given)) fail(source, [...path, id], "value", `expected the options of ${id}, got ${kindOf(given)}`);
  checkOptions(source, [...path, id], pass, given);
  return { id, options: given };
}

/** Every "30%" as the number 0.3. */
function withShares(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withShares);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withShares(inner)]));
  const percentage = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?%$/.exec(value)?.[1] : undefined;
  return percentage === undefined ? value : Number(percentage) / 100;
}

function checkOptions(source: Source, path: Path, pass: AnyPass, given: OptionValues): void {
  const { id, options } = pass;
  const accepted = namesAt(options).filter((name) => !filledIn.includes(name));
  for (const name of Object.keys(given)) {
    if (accepted.includes(name)) continue;
    if (name === "data" && pass.data !== undefined)
      fail(source, [...path, name], "key", "data is not part of a recipe: it is given to the run");
    const { sentence, hint } = unknownName([name], accepted, id);
    fail(source, [...path, name], "key", sentence, hint);
  }
  if (typeof given.validation === "string" && pass.data !== undefined) {
    const reason = `data is not part of a recipe: "validation" is a share of the training samples, such as 10%, got ${shown(given.validation)}`;
    fail(source, [...path, "validation"], "value", reason);
  }
  const result = v.safeParse(options, { ...given, ...standIns(pass) }, inWords);
  if (result.success) return;
  const found = misfitOf(options, result.issues, { owner: id, withheld: filledIn, standIns: standIns(pass) });
  fail(source, [...path, ...found.path], found.part, found.sentence, found.hint);
}

function fail(source: Source, path: Path, part: "key" | "value", sentence: string, hint?: string): never {
  const steps = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
  const where = steps === "" ? "" : ` ${steps.slice(1)}:`;
  throw new PithError("E_OPTION", `${source.at(path, part)}:${where} ${sentence}.`, { hint });
}

function didYouMean(typed: string, names: readonly string[]): string | undefined {
  const name = nearest(typed, names);
  return name === undefined ? undefined : `Did you mean "${name}"?`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  return Array.isArray(value) ? (value.length === 0 ? "an empty list" : "a list") : shown(value);
}

type Path = readonly (string | number)[];

interface Source {
  readonly data: unknown;
  /** "recipe.yaml:4:15": of the value at a path, or of the key that ends it; the nearest place above where there is none. */
  at(path: Path, part: "key" | "value"): string;
}

function readSource(text: string, name: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const [broken] = document.errors;
  if (broken !== undefined)
    throw new PithError("E_OPTION", `${place(broken.pos[0])}: invalid YAML: ${broken.message}.`);
  let data: unknown;
  try {
    data = document.toJS();
  } catch (cause) {
    // Aliases that multiply, for instance.
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PithError("E_OPTION", `${name}: invalid YAML: ${message}.`, { cause });
  }
  const resolved = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return {
    data,
    at(path, part) {
      let node: unknown = document.contents;
      let offset = startOf(node) ?? 0;
      path.forEach((key, depth) => {
        const parent = resolved(node);
        if (isMap(parent)) {
          const pair = parent.items.find((item) =>
            isScalar(item.key) ? String(item.key.value) === String(key) : false,
          );
          node = pair?.value;
          const chosen = part === "key" && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
          offset = startOf(chosen) ?? offset;
        } else {
          node = isSeq(parent) ? parent.items[Number(key)] : undefined;
          offset = startOf(node) ?? offset;
        }
      });
      return place(offset);
    },
  };
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) return undefined;
  const [start]: unknown[] = node.range;
  return typeof start === "number" ? start : undefined;
}
