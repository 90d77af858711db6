/** Opening the models that a command names, with what their files contradict themselves in as warnings. */
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";

export function openModel(path: string, { log }: Pick<JobContext, "log">): Promise<Model> {
  return open(path, { warn: (text) => log({ id: "model", text: `"${path}": ${text}`, level: "warning" }) });
}
