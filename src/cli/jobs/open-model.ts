/** Opening the models that a command names, with what their files contradict themselves in as warnings. */

import type { Engine } from "../../engine/index.ts";
import { isCopy } from "../../folder/files.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import type { Context } from "../../passes/index.ts";
import { filesOf } from "../files.ts";

export function openModel(path: string, { log }: Pick<JobContext, "log">): Promise<Model> {
  return open(path, { warn: (text) => log({ id: "model", text: `"${path}": ${text}`, level: "warning" }) });
}

/** Warns where models that are compared are equal to the first byte for byte. */
export async function warnOfCopies(
  [first, ...others]: readonly { readonly path: string; readonly model: Model }[],
  { log }: Pick<JobContext, "log">,
): Promise<void> {
  if (first === undefined) return;
  const files = filesOf(first.model, first.path);
  for (const { path, model } of others) {
    const own = filesOf(model, path);
    if (own.length !== files.length) continue;
    const equal = await Promise.all(own.map((file, at) => isCopy(file, files[at] ?? "")));
    if (equal.every((one) => one))
      log({ id: "same", text: `"${path}" and "${first.path}" are the same, byte for byte.`, level: "warning" });
  }
}

/** Inputs that are named; of more it is said how many there are. */
const mostNamed = 3;

/** Opens a model that a result is made of. From IR 4 on a stored tensor among the inputs is a default, which the result no longer lets callers override. */
export async function openToChange(path: string, context: Pick<JobContext, "log">): Promise<Model> {
  const model = await openModel(path, context);
  const defaults = model.graph.inputs.filter(({ tensor }) => tensor !== undefined);
  if (model.header.irVersion < 4 || defaults.length === 0) return model;
  const named = defaults.slice(0, mostNamed).map(({ name }) => `"${name}"`);
  const others = defaults.length - named.length;
  const list = [...named, ...(others === 0 ? [] : [`${others} more`])].join(", ");
  const text = `callers may override the stored value of ${list}: in the result ${defaults.length === 1 ? "it is a constant" : "they are constants"}, not an input`;
  context.log({ id: "defaults", text, level: "warning" });
  return model;
}

/** What library functions are given in a job: progress and messages go to the job's own, and references are paths. */
export function contextOf<E extends Engine>(
  engine: E,
  { seed, dryRun }: { readonly seed: number; readonly dryRun?: boolean },
  context: Pick<JobContext, "signal" | "log" | "progress">,
): Context & { readonly engine: E } {
  return {
    engine,
    seed,
    signal: context.signal,
    dryRun,
    log: (event) => context.log(event),
    progress: (done, total, figures) => context.progress(done, total, figures),
    open: (reference) => open(reference),
  };
}
