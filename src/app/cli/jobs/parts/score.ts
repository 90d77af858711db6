/** Runs the user's own metric of `--score`. */
import { resolve } from "node:path";
import { dataError, errorMessage, optionError } from "#ir";
import { importModule } from "#platform";

/** Calls a module's default export, a function from a model file to a number. @throws PithError E_FILE, E_OPTION, or E_DATA if the function fails. */
export async function scoreOf(module: string, model: string): Promise<number> {
  const scorer = await loadScorer(module);
  let score: unknown;
  try {
    score = await scorer(resolve(model));
  } catch (cause) {
    throw dataError(`${module} failed on ${model}: ${errorMessage(cause)}`, { cause });
  }
  if (typeof score === "number" && !Number.isNaN(score)) return score;
  throw dataError(`${module} returned ${errorMessage(score)} for ${model}: a score must be a number.`);
}

async function loadScorer(module: string): Promise<(model: string) => unknown> {
  const { default: scorer } = await importModule(module, "E_OPTION");
  if (isFunction(scorer)) return scorer;
  throw optionError(`--score ${module} has no function as its default export.`, {
    hint: "export default async (modelFile) => 0.93;",
  });
}

function isFunction(value: unknown): value is (model: string) => unknown {
  return typeof value === "function";
}
