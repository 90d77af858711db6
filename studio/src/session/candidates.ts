/** Makes candidates: runs a recipe on a copy of the model, and measures the result on the samples. */
import { inspect, type Model, open } from "pith";
import { type Run, recipeFrom, recipeText, reportPage, runRecipe, summarize } from "pith/compress";
import type { Candidate, MakeRequest, Product } from "../backend/backend.ts";
import type { CallContext, Opened, Sampled } from "./session.ts";

export interface Finished {
  readonly view: Candidate;
  readonly bytes: Uint8Array;
  open(): Promise<Model>;
}

/** Rounds of the interleaved timing of original and candidate. */
const timingRounds = 15;

/** Runs a recipe even if it misses the goal, because the page shows what it costs. */
export async function makeCandidate(
  { model, name: modelName }: Opened,
  sampled: Sampled | undefined,
  { id, name, recipe: plainRecipe, maxDrop }: MakeRequest,
  { signal, report }: CallContext,
): Promise<Finished> {
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
  const view: Candidate = {
    id,
    name,
    recipe: recipeText(recipe),
    sha256: sha256Of(run),
    inspection: await inspect(result),
    run,
    summary: summarize(run),
  };
  return { view, bytes, open: () => open(bytes) };
}

const sha256Of = ({ variants, chosen = 0 }: Run): string => variants[chosen]?.result?.sha256 ?? "";

export async function productOf({ view, bytes }: Finished, product: Product): Promise<Blob> {
  const file = new Blob([Uint8Array.from(bytes)], { type: "application/octet-stream" });
  switch (product) {
    case "model":
      return file;
    case "model.gz":
      return new Response(file.stream().pipeThrough(new CompressionStream("gzip"))).blob();
    case "recipe":
      return new Blob([view.recipe], { type: "application/yaml" });
    case "report":
      return new Blob([reportPage(view.run)], { type: "text/html" });
  }
}
