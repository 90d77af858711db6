/** Opens the models of a command, and makes the context of a pass. */
import { infer } from "#analysis";
import { type Model, open } from "#ir";
import type { Context } from "#pass";
import type { Engine } from "../../../../core/engine/index.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import { renderTemplate } from "./render-template.ts";

export async function openModel(path: string, { log }: Pick<JobContext, "log">): Promise<Model> {
  const model = await open(path, {
    warn: (text) => log({ id: "model", text: `"${path}": ${text}`, level: "warning" }),
  });
  // With inferred shapes, the engine can reject values of impossible sizes.
  infer(model);
  return model;
}

export function contextOf<E extends Engine>(
  engine: E,
  { seed, dryRun }: { readonly seed: number; readonly dryRun?: boolean | undefined },
  context: JobContext,
): Context & JobContext & { readonly engine: E } {
  return { ...context, engine, seed, dryRun, open: (reference) => open(reference), renderTemplate };
}
