/** Job of the commands that change a model: runs the step, and writes the result unless it is rejected. */
import { type Model, throwIfAborted } from "#ir";
import type { AnyPass } from "#pass";
import { type Encoding, openFile } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import {
  type MeasuredPair,
  measurePair,
  measureSizeAndCost,
  type PlannedCost,
  planCost,
  type SizeAndCost,
  type StoredModel,
} from "../../../judge/measure/measured-pair.ts";
import type { SampleUse } from "../../../judge/recipe/open-samples.ts";
import { checkStep, openStep } from "../../../judge/run/open-step.ts";
import { runSingleStep, type SingleStep, type StepReport } from "../../../judge/run/single-step.ts";
import type { References, StepContext, StepRequest } from "../../../judge/run/step-request.ts";
import { changeStep, type ParsedStep } from "../../../judge/steps/step-options.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { generatorOf } from "../../../runtime/run/generate.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import type { CompressedSize } from "../../../runtime/run/model-size.ts";
import { type RunTarget, targetsOf } from "../../../runtime/run/run-target.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { createJointJudge, type JointCheck } from "../../folder/joint-judge.ts";
import { notFasterText, slowerText } from "../../report/speed.ts";
import type { StepFlagValues } from "../commands/pass.ts";
import { filesOfModel, requireNotWeights, requireOutputs } from "../files/file-paths.ts";
import type { DataRequest } from "../flags/data.ts";
import { fasterAdvice, rejectionError, unwrittenText } from "./parts/advice.ts";
import { rejectUnloadable, simplifyToLoad } from "./parts/load-simplified.ts";
import { isResult, warnOfDefaults, warnOfSwap } from "./parts/model-warnings.ts";
import { openData, openValidation, type TaskRequest } from "./parts/open-data.ts";
import { contextOf, openModel } from "./parts/open-model.ts";
import { saveResult } from "./parts/save-result.ts";
import { withTargets } from "./parts/target.ts";

export interface PassInput
  extends Pick<
      StepFlagValues,
      "original" | "metric" | "output" | "maxDrop" | "strict" | "force" | "fallback" | "dryRun" | "targetDownload"
    >,
    Pick<StepRequest, "maxBytes" | "judgedTogether"> {
  readonly command: string;
  readonly model: string;
  readonly out: string;
  readonly skipsSidecars: boolean;
  /** Options of the pass from the command line. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  /** Other models of the folder, with which the result must also pass end to end. */
  readonly jointCheck?: JointCheck | undefined;
  /** Maximum bytes per file. */
  readonly fileBytes?: number;
  readonly precompress?: readonly Encoding[] | undefined;
  /** Present for a variant of a folder. */
  readonly sizeBefore?: Partial<CompressedSize>;
  /** Whether results are chosen by their size after brotli. */
  readonly forDownload?: boolean;
  /** File that keeps the text which the model generates. */
  readonly textFile?: string | undefined;
  readonly seed: number;
}

export type PassOutput = WrittenOutput | UnwrittenOutput;

export interface PassReport extends StepReport {
  readonly before: SizeAndCost;
  readonly preprocessing?: string | undefined;
  readonly samples?: SampleUse | undefined;
}

export interface UnwrittenOutput extends PassReport {
  readonly written?: undefined;
  readonly planned?: PlannedCost | undefined;
}

export interface WrittenOutput extends PassReport, MeasuredPair, Pick<SingleStep, "invariance"> {
  /** Present if the verdict compares only with an input model that is a result of Pith. */
  readonly continues?: true | undefined;
  readonly lost?: string | undefined;
  readonly written: string;
}

export default function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const names = input.dryRun ? [] : targetsOf(input.options.target);
  return withTargets(names, context, async (targets) => changeModel(input, targets, context));
}

async function changeModel(input: PassInput, targets: readonly RunTarget[], context: JobContext): Promise<PassOutput> {
  const openedModel = await openModel(input.model, context);
  // Opening the data records its preprocessing in the model.
  const wasChanged = isResult(openedModel);
  const { request, context: stepContext, data } = await openStepRequest(input, targets, openedModel, context);
  const original = request.input.model;
  const run = await rejectUnloadable(() => runSingleStep(request, stepContext), unwrittenText(input));
  const { result, rejection, tested, learnt, invariance, ...step } = run;
  const originalFiles = await openFilesOf(original, filesOfModel(original, input.model));
  const before = await measureSizeAndCost(originalFiles);
  const report: PassReport = {
    ...step,
    before,
    preprocessing: data?.task.preprocessing,
    samples: data && {
      ...data.samples,
      train: data.samples.train && { ...data.samples.train, ...learnt },
      test: { ...data.samples.test, ...tested },
    },
  };
  const samples = request.task?.test ?? request.inputs?.test;
  if (result === undefined) return report;
  if (input.dryRun) return { ...report, planned: await planCost(original, before, result, stepContext, samples) };
  if (step.idle !== undefined && !input.force) return report;
  if (rejection !== undefined && !input.force)
    throw rejectionError(request.pass, input, rejection, data?.task.assumesScores);
  throwIfAborted(context.signal, "Stopped on request.");
  context.stage("write");
  const { files, copies } = await saveResult(result, input, context);
  warnOfDefaults(original, context);
  context.stage("compressed size");
  const reference = request.references?.first;
  const measurement = await measurePair(
    {
      original: { ...originalFiles, weight: before },
      result: await openFilesOf(result, files),
      copySizes: copies,
      isForDownload: input.forDownload ?? (input.targetDownload !== undefined || isLowEntropy(input.options)),
      variant: input.sizeBefore,
      reference: reference ?? request.input,
      samples,
    },
    stepContext,
  );
  await warnOfSpeed(measurement, request.pass, input, original, context);
  const isContinued = wasChanged && step.verdict !== undefined && reference === undefined;
  return {
    ...report,
    ...measurement,
    written: input.out,
    lost: rejection?.text,
    continues: isContinued ? true : undefined,
    // A folder compares tokens of text generators.
    ...(input.sizeBefore !== undefined && generatorOf(new Map([["model", original]])) === undefined
      ? { invariance }
      : {}),
  };
}

async function openFilesOf(model: Model, files: readonly string[]): Promise<StoredModel> {
  return { model, files: await Promise.all(files.map((file) => openFile(file))) };
}

/** Warns about a result that is slower than the input model, or no faster. */
async function warnOfSpeed(
  { speed, after, ...measured }: MeasuredPair,
  pass: AnyPass,
  { model, options }: PassInput,
  original: Model,
  { log }: JobContext,
): Promise<void> {
  if (speed === undefined || "unmeasured" in speed || speed.against !== model) return;
  const slowerWarning = slowerText(speed);
  const text = notFasterText(speed, measured, after) ?? slowerWarning;
  if (text === undefined) return;
  const advice = slowerWarning === undefined ? "" : await fasterAdvice(pass, options, original);
  log({ id: "speed", text: `${text}${advice}`, level: "warning" });
}

async function openStepRequest(input: PassInput, targets: readonly RunTarget[], opened: Model, context: JobContext) {
  await requireNotWeights(input.out, opened, input.model);
  requireOutputs(opened, input.model);
  const namedModel = { path: input.model, model: opened };
  const hasData = input.data !== undefined;
  const checked = await checkStep(input.command, namedModel, input.options, { original: input.original, hasData });
  const { pass, references } = checked;
  // Teachers are excluded, because a teacher can be a result of Pith.
  if (references.first !== undefined && pass.reference !== "teacher")
    await warnOfSwap(
      [references.first, namedModel],
      (before, after) => [input.command, after, "--original", before],
      context,
    );
  const engine = watchLoads(createEngine());
  const original = (await simplifyToLoad(opened, engine, context, hasData ? undefined : 1)) ?? opened;
  if (original !== opened) {
    const text = `ONNX Runtime's graph optimizations break "${input.model}" as it is: it is simplified first`;
    context.log({ id: "simplified", text });
  }
  const stepContext = contextOf(engine, input, {
    ...context,
    log(event) {
      // The table of a folder has a column for the dependence on the batch.
      if (event.id !== "batch" || input.sizeBefore === undefined) context.log(event);
    },
  });
  const data = input.data && (await openStepData(original, checked, input, input.data, stepContext, context));
  const { jointCheck, fallback } = input;
  const request = await openStep(
    { ...checked, ...changeStep(checked, data?.options ?? checked.options), input: { ...namedModel, model: original } },
    {
      ...input,
      targets,
      fallback: fallback !== false,
      temporary: context.temporary,
      task: data?.task,
      usesAllSamples: input.data?.samples !== undefined,
      batch: input.data?.batch,
      condition: jointCheck && ((judgeAlone, quietContext) => createJointJudge(jointCheck, judgeAlone, quietContext)),
    },
    stepContext,
  );
  return { request, context: stepContext, data };
}

/** @throws PithError E_DATA if the data does not fit the model, before anything is run. */
async function openStepData(
  original: Model,
  step: ParsedStep & { readonly references: References },
  input: PassInput,
  data: DataRequest,
  { engine }: StepContext,
  context: JobContext,
) {
  const { metric, output, seed } = input;
  const request: TaskRequest = {
    recipes: [{ steps: [step] }],
    metric,
    output,
    seed,
    reference: step.references.first?.model,
  };
  const { task, sampleUse } = await openData(engine, original, data, request, context);
  const { validation } = step.options;
  // A path is replaced by the opened samples.
  const opened = typeof validation === "string" ? { validation: await openValidation(task, data, validation) } : {};
  return { task, samples: sampleUse, options: { ...step.options, ...opened } };
}
