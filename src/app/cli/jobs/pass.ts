/** Job of the commands that change a model: opens the inputs of the step, runs it, and writes the result unless it is rejected. */
import * as v from "valibot";
import { infer } from "../../../core/analysis/infer.ts";
import { keptKey } from "../../../core/analysis/provenance.ts";
import { unevenChannels } from "../../../core/analysis/uneven-channels.ts";
import { hasFloatWeights } from "../../../core/analysis/weight.ts";
import { Miss, PithError, throwIfAborted } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { open } from "../../../core/onnx/index.ts";
import type { AnyPass, Context } from "../../../core/pass/pass.ts";
import { takesImages } from "../../../data/images/image-batches.ts";
import { recordedPreprocessing } from "../../../data/sidecars/preprocessing-spec.ts";
import { readSidecars } from "../../../data/sidecars/sidecars.ts";
import { type JudgedStep, type Judgement, runJudgedStep } from "../../../judge/run/judged-step.ts";
import { trains } from "../../../judge/steps/step-options.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { relativeTime } from "../../../runtime/run/relative-time.ts";
import { type RunTarget, targetNames } from "../../../runtime/run/run-target.ts";
import { size } from "../../../runtime/run/size.ts";
import { isPruned } from "../../../techniques/prune/index.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { notFasterText, slowerText, speedOf, type Timed } from "../../report/speed.ts";
import { filesOfModel } from "../files/files.ts";
import { fasterAdvice, rejectionError } from "../job-parts/advice.ts";
import { openModel, saveResult, warnOfDefaults } from "../job-parts/open-model.ts";
import { type OpenedStep, openStep } from "../job-parts/open-step.ts";
import type { PassInput, PassOutput, PlannedCost, StepReport, WrittenOutput } from "../job-parts/pass-output.ts";
import { withTargets } from "../job-parts/target.ts";
import type { SampleUse } from "../job-parts/task.ts";
import { countsOf, measureSpeed, weightOf, withCompressed } from "../job-parts/weight.ts";
import { hasDifferentMacs, maxTimedBytes, type Weight } from "../print/weight.ts";
import { rejectUnloadable, simplifyToLoad } from "./loadable.ts";

interface KeptStep extends JudgedStep {
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
  const step = await rejectUnloadable(() => runJudgedStep(request, stepContext));
  const { result, noGainText, judgement, rejection } = step;
  const report = await reportOf(openedStep, step);
  if (result === undefined) return report;
  if (input.dryRun) return { ...report, planned: await costOf(original, result, report, stepContext) };
  if (judgement === undefined) return { ...report, idle: noGainText };
  if (request.pass.beginsAnew) await warnOfUnknownPreparation(result, input.model, stepContext);
  if (rejection !== undefined && !input.force)
    throw rejectionError(request.pass, input, rejection, openedStep.data?.task.assumesScores);
  throwIfAborted(context.signal, "Stopped on request.");
  return writeResult(openedStep, input, { ...step, result, judgement }, report, context);
}

async function reportOf(
  { request: { input }, data }: OpenedStep,
  { outcome, comparison, sparing, searched }: JudgedStep,
): Promise<StepReport> {
  const { changes, misses, training, history, learnt } = outcome;
  const train = data?.samples.train;
  return {
    ...{ changes, misses, training, history },
    before: await weightOf(input.model, input.path),
    preprocessing: data?.task.preprocessing,
    samples: data && { ...data.samples, train: train && { ...train, ...learnt } },
    knewNothing: comparison === undefined ? undefined : !comparison.judge.aboveChance,
    goal: comparison?.goal,
    targets: [],
    sparing: sparing && { ...sparing, searched },
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
  const copies = await saveResult(result, input, context);
  warnOfDefaults(original.model, context);
  context.stage("compress");
  const saved = await open(input.out);
  const [before, after] = await Promise.all([
    compressedOriginal(report.before, original.model, input),
    withCompressed(await weightOf(saved, input.out), saved, input.out, {
      ...{ copies, brotli: isForDownload(input) },
      maxBrotliBytes: input.variant === undefined ? maxWholeBytes : undefined,
    }),
  ]);
  const masked = isPruned(result);
  const uneven = hasDifferentMacs(report.before, after) ? unevenChannels(original.model, result) : undefined;
  // A result with masks is not timed, because masks are folded in before a model is used.
  const speed = masked ? undefined : await measureSpeed(result, references?.first ?? original, stepContext);
  await warnOfSpeed(speed, { ...report, uneven, original: original.model }, after, pass, input, context);
  const isJudgedAlone = trains(pass) && pass.reference === undefined && compared?.reference === undefined;
  const hasGoalWithoutReference = goalCheck !== undefined && references?.first === undefined;
  return {
    ...report,
    ...{ before, after, masked, uneven, targets, idle, speed },
    samples: report.samples && testedSamples(report.samples, compared?.answers.given.length, searched),
    trainable: hasFloatWeights(result, infer(result)),
    comparison: compared?.comparison,
    verdict: goalCheck?.verdict,
    against: goalCheck?.against,
    pruned: isJudgedAlone && wasPruned(original.model) ? true : undefined,
    continues: continues && hasGoalWithoutReference ? true : undefined,
    likeness: kept?.likeness,
    others: kept?.others,
    lost: rejection?.text,
    reference: compared?.reference,
    written: input.out,
  };
}

/** Adds the sizes of the input model after compression. The row of a folder's original shows the size of its file with the exporter's metadata. */
async function compressedOriginal(before: Weight, model: Model, input: PassInput): Promise<Weight> {
  const { variant, model: path } = input;
  if (variant === undefined) {
    const brotli = isForDownload(input) || input.precompress?.includes("br") === true;
    return withCompressed(before, model, path, { copies: {}, brotli, maxBrotliBytes: maxWholeBytes });
  }
  return { ...before, brotli: variant.originalBrotli ?? (await size(...filesOfModel(model, path))).brotli };
}

/** The maximum bytes of a model that brotli compresses whole if the download is the goal of the command: about 30 seconds. */
const maxWholeBytes = 2 ** 23;

/** Returns whether the size after brotli matters. It is not measured otherwise, because it takes several seconds per file. */
const isForDownload = ({ variant, targetDownload, options }: PassInput): boolean =>
  variant !== undefined || targetDownload !== undefined || isLowEntropy(options);

/** Warns about a result that is slower than the input model, or that is no faster although it computes less. */
async function warnOfSpeed(
  speed: Timed | undefined,
  reasons: Parameters<typeof notFasterText>[1] & { readonly original: Model },
  after: Weight,
  pass: AnyPass,
  { model, options }: PassInput,
  { log }: JobContext,
): Promise<void> {
  if (speed === undefined || "unmeasured" in speed.found || speed.against !== model) return;
  const slowerWarning = slowerText(speed);
  const text = notFasterText(speed.found, reasons, after) ?? slowerWarning;
  if (text === undefined) return;
  const advice = slowerWarning === undefined ? "" : await fasterAdvice(pass, options, reasons.original);
  log({ id: "speed", text: `${text}${advice}`, level: "warning" });
}

async function costOf(
  original: Model,
  result: Model,
  { before }: StepReport,
  context: Context,
): Promise<PlannedCost | undefined> {
  const { parameters, macs } = await countsOf(result);
  if (!hasDifferentMacs(before, { macs })) return undefined;
  const time = before.bytes > maxTimedBytes ? undefined : await relativeTime(original, result, context);
  return {
    ...{ parameters, macs, uneven: unevenChannels(original, result) },
    speed: time === undefined || time instanceof Miss ? undefined : speedOf(time),
  };
}

function wasPruned(model: Model): boolean {
  return model.header.metadata.has(keptKey) || isPruned(model);
}

async function warnOfUnknownPreparation(model: Model, path: string, { log }: Pick<Context, "log">): Promise<void> {
  if (!(await isPreparedUnknown(model, path))) return;
  const text = "no file states its preprocessing, and it cannot be guessed once the weights are reinitialized";
  const advice = "give --data here with the original, or --preprocess when you train the model";
  log({ id: "preprocessing", text: `${text}: ${advice}`, level: "warning" });
}

/** Returns whether the model takes images, and neither the model nor a sidecar file states their preprocessing. */
async function isPreparedUnknown(model: Model, path: string): Promise<boolean> {
  if (!model.graph.feeds.some(({ type }) => takesImages(type))) return false;
  if (recordedPreprocessing(model).images !== undefined) return false;
  return (await readSidecars(path)).preprocessing === undefined;
}
