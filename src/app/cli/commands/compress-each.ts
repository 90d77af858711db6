/** Runs the jobs of `pith compress`, one per model. A recipe for several models first runs in parallel. */
import { join } from "node:path";
import { asPithError, PithError } from "../../../core/errors.ts";
import type { Session } from "../command.ts";
import { withoutLeftovers } from "../files/files.ts";
import { readInterim, runFolder } from "../files/result-folder.ts";
import { withStepsOfEach } from "../files/steps-folder.ts";
import type compressJob from "../jobs/compress.ts";
import type { CompressInput, CompressOutput } from "../jobs/compress.ts";
import type recipesJob from "../jobs/recipes.ts";

type ModelInput = Omit<CompressInput, "resumeFolder">;

/** @returns each model's output, or its error if there are several. @throws PithError of a single model; E_STOPPED. */
export function compressEach(
  inputs: readonly ModelInput[],
  fresh: boolean | undefined,
  session: Session,
): Promise<readonly (CompressOutput | PithError)[]> {
  const outs = inputs.map(({ out }) => out);
  return withStepsOfEach(outs, { fresh, terminal: session.terminal }, async (folders) => {
    const placed = inputs.map((input, index) => ({ ...input, resumeFolder: folders[index] ?? "" }));
    const outputs: (CompressOutput | PithError)[] = [];
    for (const input of await runRecipeInParallel(placed, session)) {
      const output = withoutLeftovers(
        runFolder.names.map((name) => join(input.out, name)),
        () => session.job<typeof compressJob>("compress", input, `compress ${input.model}`, { keeps: true }),
      ).catch(async (error: unknown) => {
        throw input.recipe === undefined ? await stoppedSearch(error, input) : error;
      });
      outputs.push(await (inputs.length === 1 ? output : output.catch(asPithError)));
    }
    return outputs;
  });
}

async function stoppedSearch(error: unknown, { model, out, command }: ModelInput): Promise<unknown> {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const best = await readInterim(out);
  const outcome =
    best === undefined || best.command.join(" ") !== command.join(" ")
      ? "Nothing new is written yet"
      : `${join(out, "model.onnx")} has the best result so far, ${best.name}, which was compared on the search samples only`;
  return new PithError("E_STOPPED", `compress ${model} was stopped. ${outcome}.`, { cause: error });
}

/** Runs the recipe on all models in other processes. @returns the inputs with the folders of the results. */
async function runRecipeInParallel(
  inputs: readonly CompressInput[],
  session: Session,
): Promise<readonly CompressInput[]> {
  const [{ recipe, jobs = 1, queue } = {}] = inputs;
  if (recipe === undefined || (queue === undefined && (jobs === 1 || inputs.length === 1))) return inputs;
  const models = inputs.map(
    ({ out: _, recipe: __, command: ___, jobs: ____, queue: _____, precompress: ______, ...model }) => model,
  );
  const places = await session.job<typeof recipesJob>(
    "recipes",
    { recipe, models, outs: inputs.map(({ out }) => out), jobs, queue },
    `run ${recipe.path}`,
    { keeps: true },
  );
  return inputs.map((input, index) => ({ ...input, ...places[index] }));
}
