/** Job of the commands that change a model: opens the inputs of the step, runs it, and writes the result unless it is rejected. */
import * as v from "valibot";
import { allLayers, infer, keptKey, selectLayers } from "#analysis";
import { type Model, open, PithError, throwIfAborted } from "#ir";
import { type AnyPass, downloadBytesOf, type OptionValues, openModules, selectionOptions } from "#pass";
import { openFile } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { tokenInput } from "../../../data/text/token-inputs.ts";
import { countWeights } from "../../../judge/measure/weigh.ts";
import {
  type MeasuredPair,
  measureWritten,
  planCost,
  type StoredModel,
  weighFiles,
} from "../../../judge/measure/written.ts";
import { type Recipe, recipeVersion } from "../../../judge/recipe/recipe.ts";
import { steps } from "../../../judge/recipe/steps.ts";
import type { Judgement } from "../../../judge/run/candidate-steps.ts";
import { runSingleStep, type SingleStep } from "../../../judge/run/single-step.ts";
import type { NamedModel, References, StepContext, StepRequest } from "../../../judge/run/step-request.ts";
import { partFor, textHelps, trains } from "../../../judge/steps/step-options.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { decoderOf } from "../../../runtime/run/decoding.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import { type RunTarget, targetNames } from "../../../runtime/run/run-target.ts";
import { textInputs } from "../../../runtime/run/text-inputs.ts";
import { isPruned } from "../../../techniques/prune/index.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { searchTogether } from "../../folder/text-search.ts";
import { notFasterText, slowerText } from "../../report/speed.ts";
import { filesOfModel, isSamePlace, requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { fasterAdvice, rejectionError } from "../job-parts/advice.ts";
import { contextOf, isChanged, openModel, saveResult, warnOfDefaults, warnOfOrder } from "../job-parts/open-model.ts";
import type { PassInput, PassOutput, StepReport, WrittenOutput } from "../job-parts/pass-output.ts";
import { withTargets } from "../job-parts/target.ts";
import { openStepsTask, type SampleUse } from "../job-parts/task.ts";
import { rejectUnloadable, simplifyToLoad } from "./loadable.ts";

interface KeptStep extends SingleStep {
  readonly result: Model;
  readonly judgement: Judgement;
}

export default function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const { target } = input.options;
  const names = v.is(v.array(v.picklist(targetNames)), target) && !input.dryRun ? target : [];
  return withTargets(names, context, async (targets) => {
    try {
      return await changeModel(input, targets, context, await openModel(input.model, context));
    } catch (error) {
      if (!(error instanceof PithError) || error.code !== "E_ENGINE") throw error;
      const simplified = await simplifyToLoad(await open(input.model), context);
      if (simplified === undefined) throw error;
      const text = `ONNX Runtime's graph optimizations break "${input.model}" as it is: it is simplified first`;
      context.log({ id: "simplified", text });
      return changeModel(input, targets, context, simplified);
    }
  });
}

async function changeModel(
  input: PassInput,
  targets: readonly RunTarget[],
  context: JobContext,
  original: Model,
): Promise<PassOutput> {
  const openedStep = await openStep(input, targets, original, context);
  const { request, context: stepContext } = openedStep;
  const step = await rejectUnloadable(() => runSingleStep(request, stepContext));
  const { result, noGainText, judgement, rejection } = step;
  const report = await reportOf(openedStep, step);
  if (result === undefined) return report;
  if (input.dryRun)
    return {
      ...report,
      planned: await planCost(original, report.before, result, stepContext, request.task?.test ?? request.inputs?.test),
    };
  if (judgement === undefined) return { ...report, idle: noGainText };
  if (rejection !== undefined && !input.force)
    throw rejectionError(request.pass, input, rejection, openedStep.data?.task.assumesScores);
  throwIfAborted(context.signal, "Stopped on request.");
  return writeResult(openedStep, input, { ...step, result, judgement }, report, context);
}

async function reportOf(
  { request: { input }, data }: OpenedStep,
  { outcome, comparison, fallback, searched }: SingleStep,
): Promise<StepReport> {
  const { changes, misses, training, history, learnt } = outcome;
  const train = data?.samples.train;
  return {
    ...{ changes, misses, training, history },
    before: await weighFiles(await openFilesOf(input.model, filesOfModel(input.model, input.path))),
    preprocessing: data?.task.preprocessing,
    samples: data && { ...data.samples, train: train && { ...train, ...learnt } },
    goal: comparison?.goal,
    targets: [],
    fallback: fallback && { ...fallback, searched },
  };
}

/**
 * Returns the numbers of used samples with the number of tested ones, which is lower if interim looks decided the comparison.
 * @param searched number of other samples, on which options were chosen.
 */
function testedSamples(sampleUse: SampleUse, count: number | undefined, searched: number | undefined): SampleUse {
  const { test } = sampleUse;
  if (count === undefined) return sampleUse;
  if (searched !== undefined) return { ...sampleUse, test: { ...test, count, searched } };
  if (test.count === undefined || count >= test.count) return sampleUse;
  return { ...sampleUse, test: { ...test, count, of: test.count } };
}

async function writeResult(
  { request, context: stepContext, continues }: OpenedStep,
  input: PassInput,
  { result, judgement, noGainText: idle, searched, rejection }: KeptStep,
  report: StepReport,
  context: JobContext,
): Promise<WrittenOutput> {
  const { pass, references, input: original } = request;
  const { compared, goalCheck, kept, targets } = judgement;
  context.stage("write");
  const { files, copies } = await saveResult(result, input, context);
  warnOfDefaults(original.model, context);
  context.stage("compressed size");
  const measured = await measureWritten(
    {
      original: {
        ...(await openFilesOf(original.model, filesOfModel(original.model, original.path))),
        weight: report.before,
      },
      written: await openFilesOf(result, files),
      copies,
      forDownload: input.targetDownload !== undefined || isLowEntropy(input.options),
      variant: input.variant,
      reference: references?.first ?? original,
      samples: request.task?.test ?? request.inputs?.test,
    },
    stepContext,
  );
  await warnOfSpeed(measured, report, pass, input, original.model, context);
  const isJudgedAlone = trains(pass) && pass.reference === undefined && compared?.reference === undefined;
  const hasGoalWithoutReference = goalCheck !== undefined && references?.first === undefined;
  return {
    ...report,
    ...{ ...measured, targets, idle },
    samples: report.samples && testedSamples(report.samples, compared?.answers.given.length, searched),
    comparison: compared?.comparison,
    verdict: goalCheck?.verdict,
    against: goalCheck?.against,
    pruned:
      isJudgedAlone && (original.model.header.metadata.has(keptKey) || isPruned(original.model)) ? true : undefined,
    continues: continues && hasGoalWithoutReference ? true : undefined,
    likeness: kept?.likeness,
    others: kept?.others,
    lost: rejection?.text,
    reference: compared?.reference,
    written: input.out,
  };
}

async function openFilesOf(model: Model, files: readonly string[]): Promise<StoredModel> {
  return { model, files: await Promise.all(files.map((file) => openFile(file))) };
}

/** Warns about a result that is slower than the input model, or that is no faster although it computes less. */
async function warnOfSpeed(
  { speed, after, ...measured }: MeasuredPair,
  { changes }: StepReport,
  pass: AnyPass,
  { model, options }: PassInput,
  original: Model,
  { log }: JobContext,
): Promise<void> {
  if (speed === undefined || "unmeasured" in speed || speed.against !== model) return;
  const slowerWarning = slowerText(speed);
  const text = notFasterText(speed, { ...measured, changes }, after) ?? slowerWarning;
  if (text === undefined) return;
  const advice = slowerWarning === undefined ? "" : await fasterAdvice(pass, options, original);
  log({ id: "speed", text: `${text}${advice}`, level: "warning" });
}

type OpenedStep = Awaited<ReturnType<typeof openStep>>;

/** Opens references and data of a pass, after checks that need only the model. */
async function openStep(input: PassInput, targets: readonly RunTarget[], original: Model, context: JobContext) {
  const pass = steps.get(input.command);
  if (pass === undefined) throw new Error(`"${input.command}" is not a pass.`);
  await requireOtherThanWeights(input.out, original, input.model);
  // This is decided before the data is opened, because opening the data records the preprocessing in the model's metadata.
  const continues = isChanged(original);
  requireOutputs(original, input.model);
  requireLayers(original, input.options);
  const options = await openModules(pass.id, pass.options, input.options);
  const needs = typeof pass.data === "object" ? pass.data.when(options) : undefined;
  if (needs !== undefined && input.data === undefined) requireTexts(pass, options, original, needs);
  await pass.checkModel?.(original.clone(), options);
  // References are opened first, so that wrong ones fail before slow measurements.
  const references = await openReferences(pass, original, input);
  // Teachers are excluded, because a teacher can be a result of Pith.
  if (references.first !== undefined && pass.reference !== "teacher")
    await warnOfOrder(
      [references.first, { model: original, path: input.model }],
      (before, after) => [input.command, after, "--original", before],
      context,
    );
  const stepContext = contextOf(watchLoads(createEngine()), input, {
    ...context,
    log(event) {
      // The table of a folder has a column for the dependence on the batch.
      if (event.id !== "batch" || input.variant === undefined) context.log(event);
    },
  });
  const data =
    input.data === undefined
      ? undefined
      : await openData(original, references, input, input.data, stepContext, context);
  const usesOnlyText = partFor(pass, options) === undefined && textHelps(pass, options);
  const textsHelp = usesOnlyText && decoderOf(original) !== undefined;
  const usesTexts = !trains(pass) && (textsHelp || (data === undefined && input.judgedTogether !== true));
  const isUsable = needs !== undefined || input.dryRun !== true;
  if (usesTexts && isUsable) context.stage("generate text");
  const inputs = usesTexts && isUsable ? await textInputs(original, stepContext, input.textFile) : undefined;
  if (data === undefined && inputs === undefined && needs !== undefined)
    throw needsData(
      pass,
      needs,
      "labels are not needed. A model of texts needs no data with tokenizer.json next to it",
    );
  const { together, judgedTogether, targetBytes, targetDownload, maxDrop, fallback, output } = input;
  const { strict = false, force = false, dryRun = false } = input;
  const request: StepRequest = {
    ...{ pass, references, force, output, dryRun, targets, judgedTogether },
    options: data?.options ?? input.options,
    input: { path: input.model, model: original },
    inputs,
    task: data && { ...data.task, available: data.samples.test.available },
    record: data?.task.record,
    goal: { maxDrop, strict },
    usesAllSamples: input.data?.samples !== undefined,
    batch: input.data?.batch,
    fallback: fallback !== false,
    limit:
      targetDownload !== undefined
        ? { of: "download", bytes: downloadBytesOf(targetDownload, (await countWeights(original)).parameters) }
        : targetBytes === undefined
          ? undefined
          : { of: "file", bytes: targetBytes },
    condition: together && ((judgeAlone, quietContext) => searchTogether(together, judgeAlone, quietContext)),
    temporary: context.temporary,
  };
  return { request, context: stepContext, data, continues };
}

const needsData = ({ id }: AnyPass, reason: string, about: string): PithError =>
  new PithError("E_USAGE", `${id} needs --data here: ${reason}.`, {
    hint: `Add typical inputs, such as --data photos/; ${about}.`,
  });

/** A model of texts needs no samples without labels, because it can get texts (`textInputs`). Noise is no calibration for other models. */
function requireTexts(pass: AnyPass, options: OptionValues, { graph }: Model, reason: string): void {
  const isLabelled = typeof pass.data === "object" && pass.data.labelled?.(options) === true;
  if (!isLabelled && tokenInput(graph.feeds) !== undefined) return;
  const labels = isLabelled ? "with labels" : "labels are not needed";
  throw needsData(pass, reason, `${labels}. See --data in pith ${pass.id} --help`);
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
) {
  const { command: id, options } = input;
  const recipes: readonly Recipe[] = [{ version: recipeVersion, steps: [{ id, options }] }];
  const request = { ...input, data, recipes, reference: first?.model };
  const { task, sampleUse, openValidation } = await openStepsTask(engine, original, request, context);
  const { validation } = options;
  // A path is replaced by the opened samples.
  const opened = typeof validation === "string" ? { validation: await openValidation(validation) } : {};
  return { task, samples: sampleUse, options: { ...options, ...opened } };
}

const layerOptions = v.object({
  ...selectionOptions("change"),
  overrides: v.optional(v.record(v.string(), v.looseObject({}))),
});

/** Checks that names of layers occur, before slow work. @throws PithError E_NAME. */
function requireLayers(model: Model, options: PassInput["options"]): void {
  const { success, output: selection } = v.safeParse(layerOptions, options);
  if (!success || Object.values(selection).every((layerNames) => layerNames === undefined)) return;
  const copy = model.clone();
  storeWeights(copy);
  selectLayers(allLayers(copy, infer(copy)), selection);
}
