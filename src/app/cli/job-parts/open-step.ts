/** Opens the model, references and data of a command that changes a model, and states them as a request for the judged run. */
import * as v from "valibot";
import { infer } from "../../../core/analysis/infer.ts";
import { allLayers } from "../../../core/analysis/layers.ts";
import { selectLayers } from "../../../core/analysis/selection.ts";
import { createEngine } from "../../../core/engine/index.ts";
import { PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { open } from "../../../core/onnx/index.ts";
import { openModules } from "../../../core/pass/modules.ts";
import { downloadBytesOf } from "../../../core/pass/options.ts";
import type { AnyPass } from "../../../core/pass/pass.ts";
import { type Recipe, recipeVersion } from "../../../judge/recipe/recipe.ts";
import { steps } from "../../../judge/recipe/steps.ts";
import type { NamedModel, References, StepContext, StepRequest } from "../../../judge/run/step-request.ts";
import { placeholderOptions } from "../../../judge/steps/step-options.ts";
import type { OpenedTask } from "../../../judge/task/index.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import type { RunTarget } from "../../../runtime/run/run-target.ts";
import { searchTogether } from "../../folder/text-search.ts";
import { isSamePlace, requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { asFlags } from "../flags/invalid-options.ts";
import { keysOf } from "../flags/options.ts";
import { contextOf, isChanged, warnOfOrder } from "./open-model.ts";
import type { PassInput } from "./pass-output.ts";
import { openStepsTask, type SampleUse } from "./task.ts";
import { countsOf } from "./weight.ts";

export interface OpenedStep {
  readonly request: StepRequest;
  readonly context: StepContext;
  readonly data: OpenedData | undefined;
  /** Whether the input model is a result of Pith. */
  readonly continues: boolean;
}
interface OpenedData {
  readonly task: OpenedTask;
  readonly samples: SampleUse;
  /** Options of the command, in which an opened data set replaces the path. */
  readonly options: PassInput["options"];
}
export async function openStep(
  input: PassInput,
  targets: readonly RunTarget[],
  original: Model,
  context: JobContext,
): Promise<OpenedStep> {
  const pass = steps.get(input.command);
  if (pass === undefined) throw new Error(`"${input.command}" is not a pass.`);
  await requireOtherThanWeights(input.out, original, input.model);
  // This is decided before the data is opened, because opening the data records the preprocessing in the model's metadata.
  const continues = isChanged(original);
  requireOutputs(original, input.model);
  requireLayers(original, input.options);
  const options = await openModules(pass.id, pass.options, input.options);
  await pass.checkModel?.(original.clone(), { ...options, ...(input.data && placeholderOptions(pass)) });
  // References are opened first, so that wrong ones fail before slow measurements.
  const references = await openReferences(pass, original, input);
  // Teachers are excluded, because a teacher can be a result of Pith.
  if (references.first !== undefined && pass.reference !== "teacher")
    await warnOfOrder(
      [references.first, { model: original, path: input.model }],
      (before, after) => [input.command, after, "--original", before],
      context,
    );
  const stepContext = { ...wordedContext(pass, context, input), stage: context.stage.bind(context) };
  const data =
    input.data === undefined
      ? undefined
      : await openData(original, references, input, input.data, stepContext, context);
  const { together, targetBytes, targetDownload, maxDrop, strict, force, spare, output, dryRun } = input;
  const request: StepRequest = {
    ...{ pass, references, force, output, dryRun, targets },
    options: data?.options ?? input.options,
    input: { path: input.model, model: original },
    task: data && { ...data.task, available: data.samples.test.available },
    record: data?.task.record,
    goal: { maxDrop, strict },
    usesAllSamples: input.data?.samples !== undefined,
    batch: input.data?.batch,
    fallback: spare !== false,
    limit:
      targetDownload !== undefined
        ? { of: "download", bytes: downloadBytesOf(targetDownload, (await countsOf(original)).parameters) }
        : targetBytes === undefined
          ? undefined
          : { of: "file", bytes: targetBytes },
    condition: together && ((judgeAlone, quietContext) => searchTogether(together, judgeAlone, quietContext)),
    temporary: context.temporary,
  };
  return { request, context: stepContext, data, continues };
}

/** Returns a context that replaces option names in messages by the command's flags. */
function wordedContext(pass: AnyPass, context: JobContext, input: PassInput) {
  const keys = new Set([...keysOf(pass.options), "maxDrop", "force", "data", "samples"]);
  const contextWithFlags: typeof context = {
    ...context,
    log(event) {
      // The table of a folder has a column for the dependence on the batch.
      if (event.id !== "batch" || input.variant === undefined)
        context.log({ ...event, text: asFlags(event.text, keys) });
    },
    progress: (...progress) => context.progress(...progress),
  };
  return contextOf(watchLoads(createEngine()), input, contextWithFlags);
}

async function openReferences(
  { reference, furtherReferences, checkReference }: AnyPass,
  model: Model,
  { model: path, original, options }: PassInput,
): Promise<References> {
  const first = reference === undefined ? original : options[reference];
  const further = furtherReferences === undefined ? undefined : options[furtherReferences];
  const paths = [...(typeof first === "string" ? [first] : []), ...(v.is(v.array(v.string()), further) ? further : [])];
  const openedModels: NamedModel[] = [];
  for (const path of paths) {
    for (const other of openedModels) {
      if (await isSamePlace(path, other.path))
        throw new PithError("E_OPTION", `${path} is named twice: each ${reference} has the same weight.`);
    }
    const referenceModel = { path, model: await open(path) };
    await checkReference?.(model, referenceModel.model, options);
    openedModels.push(referenceModel);
  }
  const firstReference = typeof first === "string" ? openedModels.shift() : undefined;
  const isInput = firstReference !== undefined && (await isSamePlace(firstReference.path, path));
  return { first: isInput ? undefined : firstReference, others: openedModels };
}

/** Opens the data. @throws PithError E_DATA if it does not fit the model, before anything is run. */
async function openData(
  original: Model,
  { first }: References,
  input: PassInput,
  data: DataRequest,
  { engine }: StepContext,
  context: JobContext,
): Promise<OpenedData> {
  const step = { id: input.command, options: input.options };
  const recipes: readonly Recipe[] = [{ version: recipeVersion, steps: [step] }];
  const {
    task,
    sampleUse,
    openValidation: evaluatedBy,
  } = await openStepsTask(engine, original, { ...input, data, recipes, reference: first?.model }, context);
  const { validation } = input.options;
  const options =
    typeof validation === "string" ? { ...input.options, validation: await evaluatedBy(validation) } : input.options;
  return { task, samples: sampleUse, options };
}
const namesSchema = v.optional(v.union([v.string(), v.array(v.string())]));
const layerOptionsSchema = v.object({
  layers: namesSchema,
  except: namesSchema,
  overrides: v.optional(v.record(v.string(), v.looseObject({}))),
});

function requireLayers(model: Model, options: PassInput["options"]): void {
  const { success, output: selection } = v.safeParse(layerOptionsSchema, options);
  if (!success || Object.values(selection).every((layerNames) => layerNames === undefined)) return;
  const copy = model.clone();
  storeWeights(copy);
  selectLayers(allLayers(copy, infer(copy)), selection);
}
