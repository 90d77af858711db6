import { open } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { simplifyToLoad } from "./parts/load-simplified.ts";

/** Job: returns the path of the first model that loads only after `pith simplify`. */
export default async function loadableJob({ models }: { readonly models: readonly string[] }, context: JobContext) {
  const engine = createEngine();
  for (const path of models) if ((await simplifyToLoad(await open(path), engine, context)) !== undefined) return path;
  return undefined;
}
