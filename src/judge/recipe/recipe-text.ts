/** Reads and writes recipes as YAML and JSON. */

import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, stringify } from "yaml";
import { errorMessage, PithError } from "../../core/errors.ts";
import { integer } from "../../core/numbers.ts";
import type { AnyPass } from "../../core/pass/pass.ts";
import { isObject } from "../../core/plain.ts";
import { checkRecipe, type Source, tooDeep } from "./check-recipe.ts";
import { isRepeat, type Recipe, type RecipeStep } from "./recipe.ts";
import { stepPasses } from "./steps.ts";

/**
 * Reads a recipe from YAML or JSON.
 * @param name the file's name in errors.
 * @param passes custom passes in addition to Pith's.
 * @throws PithError E_OPTION with file, line and column of the first error, the accepted values, and the nearest name for a typo.
 * @example
 * const recipe = parseRecipe("steps:\n  - quantize: { scheme: dynamic }\n", "recipe.yaml");
 */
export function parseRecipe(text: string, name = "recipe", passes: readonly AnyPass[] = []): Recipe {
  return checkRecipe(readSource(text, name), stepPasses(passes));
}

/** Formats a recipe as YAML. @throws PithError E_OPTION for an option that is a function, a model or a data set. */
export function recipeText(recipe: Recipe): string {
  const toPlainStep = ({ id, options, judge }: RecipeStep): object => ({
    [id]: options,
    ...(judge === undefined ? {} : { judge }),
  });
  const steps = recipe.steps.map((entry) =>
    isRepeat(entry) ? { repeat: entry.repeat, steps: entry.steps.map(toPlainStep) } : toPlainStep(entry),
  );
  const assertPlain = (key: unknown, value: unknown): unknown => {
    const isOfClass = typeof value === "object" && value !== null && !Array.isArray(value) && !isObject(value);
    if (typeof value !== "function" && !isOfClass) return value;
    const kind = isOfClass ? "an object" : "a function";
    throw new PithError("E_OPTION", `"${String(key)}" is ${kind}, which a recipe in text cannot have.`);
  };
  const { version, samples } = recipe;
  return stringify({ version, ...(samples && { samples }), steps }, assertPlain, { lineWidth: 120 });
}

/** Maximum number of characters of a recipe, because parsing cannot be interrupted. */
const maxText = 2 ** 20;

function readSource(text: string, name: string): Source {
  if (text.length > maxText) {
    const reason = `expected at most 1 MiB of text, got ${integer(text.length)} characters`;
    throw new PithError("E_OPTION", `${name}: ${reason}.`, { hint: 'Use "repeat" for steps that come again.' });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const positionOf = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const [firstError] = document.errors;
  if (firstError !== undefined) {
    const reason = firstError.code === "RESOURCE_EXHAUSTION" ? tooDeep : `invalid YAML: ${firstError.message}`;
    throw new PithError("E_OPTION", `${positionOf(firstError.pos[0])}: ${reason}.`);
  }
  let data: unknown;
  try {
    data = document.toJS();
  } catch (cause) {
    // This happens for aliases that expand exponentially, for example.
    throw new PithError("E_OPTION", `${name}: invalid YAML: ${errorMessage(cause)}.`, { cause });
  }
  const resolveAlias = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return {
    data,
    locate(path, part) {
      let node: unknown = document.contents;
      let offset = startOf(node) ?? 0;
      path.forEach((key, depth) => {
        const parent = resolveAlias(node);
        if (isMap(parent)) {
          const pair = parent.items.find((item) =>
            isScalar(item.key) ? String(item.key.value) === String(key) : false,
          );
          node = pair?.value;
          const target = part === "key" && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
          offset = startOf(target) ?? offset;
        } else {
          node = isSeq(parent) ? parent.items[Number(key)] : undefined;
          offset = startOf(node) ?? offset;
        }
      });
      return positionOf(offset);
    },
  };
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) return undefined;
  const [start]: unknown[] = node.range;
  return typeof start === "number" ? start : undefined;
}
