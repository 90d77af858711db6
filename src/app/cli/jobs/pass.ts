/** Job of the commands that change a model: opens the inputs of the step, runs it, and writes the result unless it is rejected. */
import * as v from "valibot";
import { type Model, open, PithError, throwIfAborted } from "#ir";
import type { AnyPass } from "#pass";
import { openFile } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import {
  type MeasuredPair,
  measureWritten,
  planCost,
  type StoredModel,
  weighFiles,
} from "../../../judge/measure/written.ts";
import { type Recipe, recipeVersion } from "../../../judge/recipe/recipe.ts";
import type { Judgement } from "../../../judge/run/candidate-steps.ts";
import { checkStep, openStep } from "../../../judge/run/open-step.ts";
import { runSingleStep, type SingleStep } from "../../../judge/run/single-step.ts";
import type { References, StepContext } from "../../../judge/run/step-request.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import { type RunTarget, targetNames } from "../../../runtime/run/run-target.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { searchTogether } from "../../folder/text-search.ts";
import { notFasterText, slowerText } from "../../report/speed.ts";
import { filesOfModel, requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { fasterAdvice, rejectionError } from "../job-parts/advice.ts";
import { contextOf, isChanged, openModel, saveResult, warnOfDefaults, warnOfOrder } from "../job-parts/open-model.ts";
import type { PassInput, PassOutput, StepReport, WrittenOutput } from "../job-parts/pass-output.ts";
import { withTargets } from "../job-parts/target.ts";
import { openStepsTask, openValidation } from "../job-parts/task.ts";
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
  const openedStep = await openRequest(input, targets, original, context);
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
  { outcome, comparison, fallback, tested }: SingleStep,
): Promise<StepReport> {
  const { changes, misses, training, history, learnt } = outcome;
  const train = data?.samples.train;
  return {
    ...{ changes, misses, training, history },
    before: await weighFiles(await openFilesOf(input.model, filesOfModel(input.model, input.path))),
    preprocessing: data?.task.preprocessing,
    samples: data && {
      ...data.samples,
      train: train && { ...train, ...learnt },
      test: { ...data.samples.test, ...tested },
    },
    goal: comparison?.goal,
    ...{ targets: [], fallback },
  };
}

async function writeResult(
  { request, context: stepContext, continues }: OpenedStep,
  input: PassInput,
  { result, judgement, noGainText: idle, startsPruned, rejection }: KeptStep,
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
  const hasGoalWithoutReference = goalCheck !== undefined && references?.first === undefined;
  return {
    ...report,
    ...{ ...measured, targets, idle },
    comparison: compared?.comparison,
    verdict: goalCheck?.verdict,
    against: goalCheck?.against,
    pruned: startsPruned ? true : undefined,
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

type OpenedStep = Awaited<ReturnType<typeof openRequest>>;

/** Opens the references and the data of a step, after checks that need only the model. */
async function openRequest(input: PassInput, targets: readonly RunTarget[], original: Model, context: JobContext) {
  await requireOtherThanWeights(input.out, original, input.model);
  // This is decided before the data is opened, because opening the data records the preprocessing in the model's metadata.
  const continues = isChanged(original);
  requireOutputs(original, input.model);
  const named = { path: input.model, model: original };
  const hasData = input.data !== undefined;
  const checked = await checkStep(input.command, named, input.options, { original: input.original, hasData });
  const { pass, references } = checked;
  // Teachers are excluded, because a teacher can be a result of Pith.
  if (references.first !== undefined && pass.reference !== "teacher")
    await warnOfOrder(
      [references.first, named],
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
  const data = input.data && (await openData(original, references, input, input.data, stepContext, context));
  const { together, fallback } = input;
  const request = await openStep(
    checked,
    {
      ...{ ...input, targets, fallback: fallback !== false, temporary: context.temporary },
      options: data?.options ?? input.options,
      task: data && { ...data.task, available: data.samples.test.available },
      usesAllSamples: input.data?.samples !== undefined,
      batch: input.data?.batch,
      condition: together && ((judgeAlone, quietContext) => searchTogether(together, judgeAlone, quietContext)),
    },
    stepContext,
  );
  return { request, context: stepContext, data, continues };
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
  const { task, sampleUse } = await openStepsTask(engine, original, request, context);
  const { validation } = options;
  // A path is replaced by the opened samples.
  const opened = typeof validation === "string" ? { validation: await openValidation(task, data, validation) } : {};
  return { task, samples: sampleUse, options: { ...options, ...opened } };
}
