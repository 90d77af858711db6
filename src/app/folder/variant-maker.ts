/** Makes variants of models, as the default of `FolderJobs.make`. */
import { capitalize, getOrAdd, type Model, open, PithError, saveFiles, unsupportedError } from "#ir";
import type { Context } from "#pass";
import { fileNameOf, folderOf, joinPath } from "#platform";
import { runSingleStep } from "../../judge/run/single-step.ts";
import type { StepRequest } from "../../judge/run/step-request.ts";
import { parseStep } from "../../judge/steps/step-options.ts";
import { watchLoads } from "../../runtime/run/load-check.ts";
import { measureSize } from "../../runtime/run/model-size.ts";
import { type TextInputs, textInputs } from "../../runtime/run/realistic-inputs.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { optionsOfDtype } from "../../techniques/quantize/options.ts";
import { figuresFrom } from "./figures.ts";
import type { FolderOptions, FolderVariant } from "./folder-run.ts";
import { createJointJudge } from "./joint-judge.ts";
import { weightFilesOf } from "./model-files.ts";
import type { FileFigures } from "./records.ts";

/** Returns a function that makes a variant. */
export function createVariantMaker(
  options: FolderOptions["quantize"],
  context: Context,
): (variant: FolderVariant) => Promise<FileFigures> {
  const originals = new Map<string, Promise<Original>>();
  const openOriginal = async (source: string): Promise<Original> => {
    const model = await open(source);
    return { model, inputs: await textInputs(model, context) };
  };
  return async (variant) => {
    const { source } = variant;
    return makeVariant(variant, await getOrAdd(originals, source, () => openOriginal(source)), options, context);
  };
}

interface Original {
  readonly model: Model;
  readonly inputs: TextInputs | undefined;
}

async function makeVariant(
  { source, out, dtype, fileBytes, fallback = true, jointCheck, originalBrotli, originalSampled }: FolderVariant,
  { model: original, inputs }: Original,
  options: FolderOptions["quantize"],
  context: Context,
): Promise<FileFigures> {
  const request: StepRequest = {
    ...(await parseStep(quantize, { ...optionsOfDtype(dtype, options ?? {}), dtype })),
    input: { path: source, model: original },
    inputs,
    fallback,
    condition: jointCheck && ((alone, quietContext) => createJointJudge(jointCheck, alone, quietContext)),
  };
  const stepContext = { ...context, engine: watchLoads(context.engine), log: () => {}, stage: () => {} };
  const { result, idle, rejection, ...step } = await runSingleStep(request, stepContext);
  if (idle !== undefined) throw unsupportedError(`${capitalize(idle)}.`);
  if (rejection !== undefined) {
    const { text, fallbackText } = rejection;
    throw new PithError("E_ACCURACY_LOST", `${capitalize([text, fallbackText ?? []].flat().join("; "))}.`);
  }
  if (result === undefined) throw unsupportedError("Nothing changed.");
  const after = await measureSize(await saveFiles(result, out, { fileBytes }), context.signal, "quick");
  const originalFiles = new Set([fileNameOf(source), ...weightFilesOf(original)]);
  const originalParts = Array.from(originalFiles, (file) => joinPath(folderOf(source), file));
  const before =
    originalBrotli === undefined
      ? await measureSize(originalParts, context.signal, "quick")
      : { brotli: originalBrotli, sampled: originalSampled };
  return figuresFrom({ ...step, before, after });
}
