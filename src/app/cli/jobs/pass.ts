/** Job of the commands that change a model: opens the inputs of the step, runs it, and writes the result unless it is rejected. */
import * as v from "valibot";
import type { Encoding } from "#platform";
import { infer } from "../../../core/analysis/infer.ts";
import { allLayers } from "../../../core/analysis/layers.ts";
import { keptKey } from "../../../core/analysis/provenance.ts";
import { selectLayers } from "../../../core/analysis/selection.ts";
import { type UnevenChannels, unevenChannels } from "../../../core/analysis/uneven-channels.ts";
import { hasFloatWeights } from "../../../core/analysis/weight.ts";
import { createEngine } from "../../../core/engine/index.ts";
import { Miss, PithError, throwIfAborted } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { open } from "../../../core/onnx/index.ts";
import { openModules } from "../../../core/pass/modules.ts";
import { downloadBytesOf } from "../../../core/pass/options.ts";
import type { AnyPass, Context } from "../../../core/pass/pass.ts";
import { takesImages } from "../../../data/images/image-batches.ts";
import { recordedPreprocessing } from "../../../data/sidecars/preprocessing-spec.ts";
import { readSidecars } from "../../../data/sidecars/sidecars.ts";
import type { Comparison, Goal, Verdict } from "../../../judge/compare/goal.ts";
import { type Recipe, recipeVersion } from "../../../judge/recipe/recipe.ts";
import { steps } from "../../../judge/recipe/steps.ts";
import { type JudgedStep, type Judgement, runJudgedStep } from "../../../judge/run/judged-step.ts";
import type { KeptFunction } from "../../../judge/run/kept-function.ts";
import type { Sparing } from "../../../judge/run/sparing-text.ts";
import type { Reference } from "../../../judge/run/step-comparison.ts";
import type { NamedModel, References, StepContext, StepRequest } from "../../../judge/run/step-request.ts";
import type { StepResult } from "../../../judge/steps/runner.ts";
import { placeholderOptions, trains } from "../../../judge/steps/step-options.ts";
import type { MetricName, OpenedTask } from "../../../judge/task/index.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import { relativeTime, shareOfTime } from "../../../runtime/run/relative-time.ts";
import { type RunTarget, targetNames } from "../../../runtime/run/run-target.ts";
import { isPruned } from "../../../techniques/prune/index.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { searchTogether, type Together } from "../../folder/text-search.ts";
import { notFasterText, slowerText, type Timed } from "../../report/speed.ts";
import { isSamePlace, requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { asFlags } from "../flags/invalid-options.ts";
import { keysOf } from "../flags/options.ts";
import { hasDifferentMacs, maxTimedBytes, type Weight } from "../print/weight.ts";
import { fasterAdvice, rejectionError } from "./advice.ts";
import { rejectUnloadable, simplifyToLoad } from "./loadable.ts";
import { contextOf, isChanged, openModel, saveResult, warnOfDefaults, warnOfOrder } from "./open-model.ts";
import { withTargets } from "./target.ts";
import { openStepsTask, type SampleUse } from "./task.ts";
import { countsOf, measureSpeed, weightOf, withCompressed, withGzip } from "./weight.ts";

export interface PassInput {
  readonly command: string;
  readonly model: string;
  /** Path of the model before earlier compression, with which the result is compared; for passes without another reference. */
  readonly original?: string | undefined;
  readonly out: string;
  /** Whether the command copies the model's sidecar files to the result. */
  readonly copiesSidecars: boolean;
  /** Options of the pass from the command line. The pass validates them. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Whether a rejected result is written, too. */
  readonly force: boolean;
  /** Whether the precision fallback is used if the result loses too much (default: true). */
  readonly spare?: boolean | undefined;
  /** Other models of the folder, with which the result must also pass end to end. */
  readonly together?: Together | undefined;
  /** Maximum bytes of the file, for which the bits per layer are chosen. */
  readonly targetBytes?: number | undefined;
  /** Maximum size of the compressed file, in the syntax of `downloadOption`. */
  readonly targetDownload?: string | undefined;
  /** Whether the job only reports what would change. */
  readonly dryRun: boolean;
  /** Maximum bytes per file. Larger models use external data files. */
  readonly fileBytes?: number;
  /** Encodings of compressed copies of the result. */
  readonly precompress?: readonly Encoding[] | undefined;
  /** Whether the result is a variant of a folder: the folder measures its originals once, and compares the variants by brotli. */
  readonly isVariant?: boolean;
  readonly seed: number;
}

export type PassOutput = WrittenOutput | UnwrittenOutput;

interface StepReport extends Pick<StepResult, "changes" | "misses" | "training" | "history"> {
  readonly before: Weight;
  readonly preprocessing?: string | undefined;
  readonly samples?: SampleUse | undefined;
  /** Whether the model that the goal refers to is at chance level, so that no drop can be measured. */
  readonly knewNothing?: boolean | undefined;
  readonly goal?: Goal | undefined;
  readonly targets: Judgement["targets"];
  /** Layers that are kept at higher precision than requested. */
  readonly sparing?: (Sparing & { readonly searched: number | undefined }) | undefined;
  readonly idle?: string | undefined;
}

export interface UnwrittenOutput extends StepReport {
  readonly written?: undefined;
  readonly planned?: PlannedCost | undefined;
}

/** Cost of the result of a dry run; undefined if it is the same as the input model's. */
export interface PlannedCost extends Pick<Weight, "parameters" | "macs"> {
  /** Processor time of a run on one thread, relative to the original's; undefined if not measured. */
  readonly time: number | undefined;
  readonly uneven: UnevenChannels;
}

export interface WrittenOutput extends StepReport, Partial<Pick<KeptFunction, "likeness" | "others">> {
  readonly after: Weight;
  /** Whether the result has masks. They are stored in addition to the weights until they are folded in. */
  readonly masked: boolean;
  readonly trainable: boolean;
  /** Channel counts that slow down the result; undefined if it computes the same as the input model. */
  readonly uneven?: UnevenChannels | undefined;
  readonly comparison?: Comparison | undefined;
  readonly verdict?: Verdict | undefined;
  /** Path of the model that the verdict compares with; undefined for the input model. */
  readonly against?: string | undefined;
  /** Present if the input model was pruned before this training, and the model before pruning is not the reference. */
  readonly pruned?: true | undefined;
  /** Present if the input model is a result of Pith, and no original is given. The measured loss then excludes the earlier loss. */
  readonly continues?: true | undefined;
  readonly lost?: string | undefined;
  /** Comparison with the original or teacher; undefined without such a model, or if it could not run. */
  readonly reference?: Reference | undefined;
  /** Speed relative to the reference or the input model; undefined if the operators and sizes are the same. */
  readonly speed?: Timed | undefined;
  readonly written: string;
}

interface OpenedStep {
  readonly request: StepRequest;
  readonly context: StepContext;
  readonly data: OpenedData | undefined;
  /** Whether the input model is a result of Pith. */
  readonly continues: boolean;
}

interface KeptStep extends JudgedStep {
  readonly result: Model;
  readonly judgement: Judgement;
}

interface OpenedData {
  readonly task: OpenedTask;
  readonly samples: SampleUse;
  /** Options of the command, in which an opened data set replaces the path. */
  readonly options: PassInput["options"];
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

async function openStep(
  input: PassInput,
  targets: readonly RunTarget[],
  original: Model,
  context: JobContext,
): Promise<OpenedStep> {
  const pass = steps.get(input.command);
  if (pass === undefined) throw new Error(`There is no pass "${input.command}".`);
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
  const restoredPath = pass.restores === undefined ? undefined : input.options[pass.restores];
  const data =
    input.data === undefined
      ? undefined
      : await openData(original, references, input, input.data, stepContext, context);
  const { together, targetBytes, targetDownload, maxDrop, strict, force, spare, output, dryRun } = input;
  const request: StepRequest = {
    ...{ pass, references, force, output, dryRun, targets },
    options: data?.options ?? input.options,
    input: { path: input.model, model: original },
    ...(typeof restoredPath === "string" ? { like: await open(restoredPath) } : {}),
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
    log: (event) => context.log({ ...event, text: asFlags(event.text, keys) }),
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
    input.isVariant ? report.before : withGzip(report.before, original.model, input.model),
    withCompressed(await weightOf(saved, input.out), saved, input.out, { copies, brotli: isForDownload(input) }),
  ]);
  const masked = isPruned(result);
  const uneven = hasDifferentMacs(report.before, after) ? unevenChannels(original.model, result) : undefined;
  // A result with masks is not timed, because masks are folded in before a model is used.
  const speed = masked ? undefined : await measureSpeed(result, references?.first ?? original, stepContext);
  warnOfSpeed(speed, { ...report, uneven }, after, pass, input, context);
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

/** Returns whether the size after brotli matters. It is not measured otherwise, because it takes two seconds per megabyte. */
const isForDownload = ({ isVariant = false, targetDownload, options }: PassInput): boolean =>
  isVariant || targetDownload !== undefined || isLowEntropy(options);

/** Warns about a result that is slower than the input model, or that is no faster although it computes less. */
function warnOfSpeed(
  speed: Timed | undefined,
  reasons: Parameters<typeof notFasterText>[1],
  after: Weight,
  pass: AnyPass,
  { model, options }: PassInput,
  { log }: JobContext,
): void {
  if (speed === undefined || "unmeasured" in speed.found || speed.against !== model) return;
  const slowerWarning = slowerText(speed);
  const text = notFasterText(speed.found.factor, reasons, after) ?? slowerWarning;
  if (text === undefined) return;
  const advice = slowerWarning === undefined ? "" : fasterAdvice(pass, options);
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
    time: time === undefined || time instanceof Miss ? undefined : shareOfTime(time),
  };
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
