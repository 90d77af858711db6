/** Makes candidates: runs a recipe on a copy of the model, and measures the result on the samples. */
import { inspect, open } from "pith";
import { type Run, recipeFrom, recipeText, runRecipe, summarize } from "pith/compress";
import type { Candidate, MakeRequest } from "../backend/backend.ts";
import type { CallContext, Opened, Sampled } from "./session.ts";

/** Rounds of the interleaved timing of original and candidate. */
const timingRounds = 15;

/** Runs a recipe even if it misses the goal, because the page shows what it costs. */
export async function makeCandidate(
  { model, name: modelName }: Opened,
  sampled: Sampled | undefined,
  { id, name, recipe: plainRecipe, maxDrop }: MakeRequest,
  { signal, report }: CallContext,
): Promise<Candidate> {
  if (sampled === undefined) throw new Error("Candidates without samples are not implemented.");
  const { task } = sampled;
  const recipe = recipeFrom(plainRecipe);
  let stage = "prepare";
  const context = {
    seed: 0,
    signal,
    log: ({ text }: { readonly text: string }) => report({ note: text }),
    progress: (done: number, total?: number) => report({ stage, done, total }),
  };
  const options = {
    name: modelName,
    goal: { maxDrop },
    force: true,
    rounds: timingRounds,
    seen: task.seen,
    preprocessing: task.preprocessing,
    onStage: (next: string) => {
      stage = next;
      report({ stage });
    },
  };
  const { run, bytes } = await runRecipe(model, recipe, task, options, context);
  const result = await open(bytes);
  return {
    id,
    name,
    recipe: recipeText(recipe),
    sha256: sha256Of(run),
    inspection: await inspect(result),
    run,
    summary: summarize(run),
    file: new Blob([Uint8Array.from(bytes)], { type: "application/octet-stream" }),
  };
}

const sha256Of = ({ variants, chosen = 0 }: Run): string => variants[chosen]?.result?.sha256 ?? "";
