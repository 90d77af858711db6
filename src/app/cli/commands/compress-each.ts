/** Runs the jobs of `pith compress`, one per model. With `--jobs` or `--queue`, a recipe first runs on all models in parallel. */
import { join } from "node:path";
import { asPithError, PithError } from "../../../core/errors.ts";
import type { Session } from "../command.ts";
import { withoutLeftovers } from "../files/files.ts";
import { readInterim, runFolder } from "../files/result-folder.ts";
import { withStepsFolders } from "../files/steps-folder.ts";
import type compressJob from "../jobs/compress.ts";
import type { CompressInput, CompressOutput } from "../jobs/compress.ts";
import type recipesJob from "../jobs/recipes.ts";

type ModelInput = Omit<CompressInput, "resumeFolder">;

/**
 * Compresses each model. @returns the output of each model, or the error of a model that failed if there are several.
 * @throws PithError if the only model fails; E_STOPPED on a stop.
 */
export function compressEach(
  inputs: readonly ModelInput[],
  fresh: boolean | undefined,
  session: Session,
): Promise<readonly (CompressOutput | PithError)[]> {
  const outs = inputs.map(({ out }) => out);
  return withStepsFolders(outs, { fresh, terminal: session.terminal }, async (folders) => {
    const inputsWithFolders = inputs.map((input, index) => ({ ...input, resumeFolder: folders[index] ?? "" }));
    const outputs: (CompressOutput | PithError)[] = [];
    for (const input of await runRecipeInParallel(inputsWithFolders, session)) {
      const output = withoutLeftovers(
        runFolder.names.map((name) => join(input.out, name)),
        () => session.job<typeof compressJob>("compress", input, `compress ${input.model}`, { keeps: true }),
      ).catch(async (error: unknown) => {
        throw input.recipe === undefined ? await describeStoppedSearch(error, input) : error;
      });
      outputs.push(await (inputs.length === 1 ? output : output.catch(asPithError)));
    }
    return outputs;
  });
}

async function describeStoppedSearch(error: unknown, { model, out, command }: ModelInput): Promise<unknown> {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const best = await readInterim(out);
  const outcome =
    best === undefined || best.command.join(" ") !== command.join(" ")
      ? "Nothing new is written yet"
      : `${join(out, "model.onnx")} has the best result so far, ${best.name}, which was compared on the search samples only`;
  return new PithError("E_STOPPED", `compress ${model} was stopped. ${outcome}.`, { cause: error });
}

/** Runs the recipe on all models in other processes, if several are allowed. @returns the inputs, with the folders that contain the results. */
async function runRecipeInParallel(
  inputs: readonly CompressInput[],
  session: Session,
): Promise<readonly CompressInput[]> {
  const [{ recipe, jobs = 1, queue } = {}] = inputs;
  if (recipe === undefined || (queue === undefined && (jobs === 1 || inputs.length === 1))) return inputs;
  const models = inputs.map(
    ({ out: _, recipe: __, command: ___, jobs: ____, queue: _____, precompress: ______, ...model }) => model,
  );
  const resultFolders = await session.job<typeof recipesJob>(
    "recipes",
    { recipe, models, outs: inputs.map(({ out }) => out), jobs, queue },
    `run ${recipe.path}`,
    { keeps: true },
  );
  return inputs.map((input, index) => ({ ...input, ...resultFolders[index] }));
}
