/** Job of `pith compress` on a folder with several models: runs them jointly to continue texts, and saves the inputs that each model gets. */
import { joinPath, makeFolder, writeFileAtomically } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { PithError } from "../../../core/errors.ts";
import { completeContext } from "../../../core/pass/run-pass.ts";
import { toFloat64 } from "../../../core/tensor/convert.ts";
import type { Dense } from "../../../core/tensor/types.ts";
import { npzBytes } from "../../../data/files/npy.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { capturedInputs } from "../../folder/captured-inputs.ts";
import type { Module } from "../../folder/run.ts";

export interface CaptureRequest {
  readonly folder: string;
  readonly modules: readonly Pick<Module, "base" | "source">[];
  readonly texts: readonly string[];
  readonly out: string;
}

export interface CapturedFile {
  readonly path: string;
  readonly set: Settings;
}

/** Returns the file with the inputs of each model, by the model's name. Models that do not run have no file. */
export default async function capturedInputsJob(
  { folder, modules, texts, out }: CaptureRequest,
  { signal, stage }: JobContext,
): Promise<Readonly<Record<string, CapturedFile>>> {
  stage("run the originals");
  const inputs = await capturedInputs(folder, modules, texts, completeContext({ engine: createEngine(), signal }));
  if (inputs === undefined)
    throw new PithError("E_UNSUPPORTED", "The models do not continue texts, so the inputs of each model are unknown.");
  const files: Record<string, CapturedFile> = {};
  for (const [base, { samples, constants }] of inputs) {
    const path = joinPath(out, base, "inputs.npz");
    await makeFolder(joinPath(out, base));
    await writeFileAtomically(path, [npzBytes(samples)]);
    files[base] = {
      path,
      set: Object.fromEntries(Object.entries(constants).map(([name, dense]) => [name, numbersOf(dense)])),
    };
  }
  return files;
}

const numbersOf = (dense: Dense): number[] => [...toFloat64(dense)];
