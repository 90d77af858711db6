/** Job of `pith quantize` on a folder: compares a variant of all models end to end, on the user's texts or samples. */

import { createEngine } from "../../../core/engine/index.ts";
import { open } from "../../../core/onnx/index.ts";
import { completeContext } from "../../../core/pass/run-pass.ts";
import { textsIn } from "../../../data/sources/texts.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { generatorOf } from "../../../runtime/run/generate.ts";
import { compareTogether, type EndToEnd, type ModulePaths } from "../../folder/end-to-end.ts";
import type { DataRequest } from "../flags/data.ts";
import { openRequest } from "../job-parts/task.ts";

export interface EndToEndInput {
  readonly folder: string;
  readonly modules: readonly ModulePaths[];
  readonly data: DataRequest;
  /** Whether the data are texts. Models that do not generate text were then not compared by their metric yet, and are compared here. */
  readonly isText: boolean;
  readonly seed: number;
}

const maxSamples = 64;

export default async function endToEndJob(input: EndToEndInput, context: JobContext): Promise<EndToEnd> {
  const { folder, modules, data, seed } = input;
  const engine = createEngine();
  const [mainModule] = modules.length === 1 ? modules : modules.filter(({ base }) => base === "model");
  const original = mainModule === undefined ? undefined : await open(mainModule.original);
  const predictsDirectly = original !== undefined && generatorOf(new Map([["model", original]])) === undefined;
  const { texts } = predictsDirectly ? { texts: [] } : await textsIn(data.path);
  const task = predictsDirectly
    ? await openRequest(engine, original, { ...data, samples: maxSamples }, {}, { seed }, context)
    : undefined;
  context.stage("compare");
  const passContext = completeContext({ engine, seed, signal: context.signal });
  const metric = input.isText ? task?.metric : undefined;
  return compareTogether(folder, modules, texts, passContext, { samples: task?.test, metric });
}
