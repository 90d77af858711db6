/** Suggests `pith simplify` for a model that ONNX Runtime rejects, if the simplified model loads. */
import { PithError } from "../../core/errors.ts";
import { quoted } from "../../judge/record/shell-command.ts";
import type { Session } from "./command.ts";
import type loadableJob from "./jobs/loadable.ts";

export async function adviseOnLoading(error: unknown, models: readonly string[], { job }: Pick<Session, "job">) {
  if (!(error instanceof PithError) || error.code !== "E_ENGINE") return error;
  const model = await job<typeof loadableJob>("loadable", { models }, "simplify").catch(() => undefined);
  if (model === undefined) return error;
  return error.reworded({ hint: `Run pith simplify ${quoted(model)} first, and use its result: it loads.` });
}
