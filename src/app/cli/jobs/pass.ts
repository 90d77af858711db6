/** Job of the commands that change a model: runs and evaluates one step of a recipe, and writes the result unless it is rejected. */

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
import type { AnyPass, Context } from "../../../core/pass/pass.ts";
import { takesImages } from "../../../data/images/image-batches.ts";
import { readSidecars } from "../../../data/index.ts";
import { recordedPrepared } from "../../../data/sidecars/preprocessing-spec.ts";
import type { Comparison, Goal, Verdict } from "../../../judge/compare/compare.ts";
import { steps } from "../../../judge/recipe/steps.ts";
import { noSmallerThan } from "../../../judge/run/improvement.ts";
import type { Lost } from "../../../judge/run/judgement.ts";
import type { KeptFunction } from "../../../judge/run/kept-function.ts";
import { looseModels } from "../../../judge/steps/loose-models.ts";
import { Runner, type StepResult } from "../../../judge/steps/runner.ts";
import { standIns, trains } from "../../../judge/steps/step.ts";
import type { MetricName } from "../../../judge/task/index.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type WatchedEngine, watchLoads } from "../../../runtime/run/load-check.ts";
import { relativeTime, shareOfTime } from "../../../runtime/run/relative-time.ts";
import { type RunTarget, targetNames } from "../../../runtime/run/run-target.ts";
import { isPruned } from "../../../techniques/prune/index.ts";
import type { Together } from "../../folder/index.ts";
import { noFasterText, slowerText, type Timed } from "../../report/speed.ts";
import { requireOtherThanWeights, requireOutputs } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { computesOther, largestTimed, type Weight } from "../print/weight.ts";
import { fasterAdvice } from "./advice.ts";
import { type Judgement, judgeStep, requireKept, testedOn, warnOfLoss } from "./judgement.ts";
import {
  type Aim,
  type Judging,
  type OpenedData,
  openData,
  openJudging,
  openReferences,
  type Reference,
} from "./judging.ts";
import { simplifiedToLoad } from "./loadable.ts";
import { contextOf, isChanged, openModel, saveResult, warnOfDefaults, warnOfOrder } from "./open-model.ts";
import { speedOf } from "./result-speed.ts";
import { alreadySpared, judgedSparing, type SparedStep, withOptionsForSize } from "./sparing.ts";
import { withTargets } from "./target.ts";
import type { SampleUse } from "./task.ts";
import { announceCalibration } from "./time-notice.ts";
import { countsOf, weightOf, withCompressed } from "./weight.ts";

export interface PassInput {
  readonly command: string;
  readonly model: string;
  /** Path of the model before pruning, for passes without another reference. */
  readonly original?: string | undefined;
  readonly out: string;
  /** The command copies the model's sidecar files to the result. */
  readonly copiesSidecars: boolean;
  /** Flags of the pass, which validates them. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Also write a rejected result. */
  readonly force: boolean;
  /** Use the precision fallback if the result loses too much (true). */
  readonly spare?: boolean | undefined;
  /** Models with which the result failed end to end, although it may pass alone. */
  readonly together?: Together | undefined;
  /** Maximum bytes of the file, for which bits per layer are chosen. */
  readonly targetBytes?: number | undefined;
  /** Maximum of the compressed file (`downloadOption`). */
  readonly targetDownload?: string | undefined;
  /** Only report what would change. */
  readonly dryRun: boolean;
  /** Maximum bytes per file; larger models use external data. */
  readonly fileBytes?: number;
  /** Encodings of compressed copies. */
  readonly precompress?: readonly Encoding[] | undefined;
  /** Whether the size after compression is measured for the input model as well (true). */
  readonly compressesOriginal?: boolean;
  readonly seed: number;
}

export type PassOutput = WrittenOutput | UnwrittenOutput;

interface StepReport extends Pick<StepResult, "changes" | "misses" | "training" | "history"> {
  readonly before: Weight;
  readonly preprocessing?: string | undefined;
  readonly samples?: SampleUse | undefined;
  /** The original is at chance level and has nothing to lose. */
  readonly knewNothing?: boolean | undefined;
  readonly goal?: Goal | undefined;
  readonly targets: Judgement["targets"];
  /** Layers at higher precision than requested. */
  readonly sparing?: SparedStep["sparing"] | undefined;
  readonly idle?: string | undefined;
}

export interface UnwrittenOutput extends StepReport {
  readonly written?: undefined;
  readonly planned?: PlannedCost | undefined;
}

/** Cost of a dry run's result, if it differs from the input model's. */
export interface PlannedCost extends Pick<Weight, "parameters" | "macs"> {
  /** Processor time of a run on one thread relative to the original's; undefined if not measured. */
  readonly time: number | undefined;
  readonly uneven: UnevenChannels;
}

export interface WrittenOutput extends StepReport, Partial<Pick<KeptFunction, "likeness" | "others">> {
  readonly after: Weight;
  /** The result has masks, which are stored in addition to the weights until they are folded. */
  readonly masked: boolean;
  readonly trainable: boolean;
  /** Only if the result has another cost than the input model. */
  readonly uneven?: UnevenChannels | undefined;
  readonly comparison?: Comparison | undefined;
  readonly verdict?: Verdict | undefined;
  /** Path of the model that the verdict compares with. */
  readonly against?: string | undefined;
  /** The input model was pruned before training, and the model before pruning is not the reference. */
  readonly pruned?: true | undefined;
  /** The input model is a result of Pith, and no original is given: its own loss is not part of the measured one. */
  readonly continues?: true | undefined;
  readonly lost?: Lost["text"] | undefined;
  /** Comparison with the original or teacher; undefined if there is none, or it could not run. */
  readonly reference?: Reference | undefined;
  /** Relative to the reference or the input model; undefined if both compute the same. */
  readonly speed?: Timed | undefined;
  readonly written: string;
}

export interface OpenStep {
  readonly input: PassInput;
  readonly pass: AnyPass;
  /** The input model. */
  readonly original: Model;
  /** Whether the input model is a result of Pith. */
  readonly continues: boolean;
  /** Reference of the outputs: `original`, or the model that the pass restores. */
  readonly like: Model;
  /** The teacher, or the model before pruning. */
  readonly aim: Aim | undefined;
  readonly data: OpenedData | undefined;
  /** Undefined without data, and if nothing is written. */
  readonly judging: Judging | undefined;
  /** Number of samples, disjoint from the test samples, that chose the step's options. */
  readonly searched?: number;
  readonly running: Context & { readonly engine: WatchedEngine };
}

export default function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const { target } = input.options;
  const names = v.is(v.array(v.picklist(targetNames)), target) && !input.dryRun ? target : [];
  return withTargets(names, context, async (targets) => {
    try {
      return await changed(input, targets, context, await openModel(input.model, context));
    } catch (error) {
      if (!(error instanceof PithError) || error.code !== "E_ENGINE") throw error;
      const simplified = await simplifiedToLoad(await open(input.model), context);
      if (simplified === undefined) throw error;
      const text = `ONNX Runtime's graph optimizations break "${input.model}" as it is: it is simplified first`;
      context.log({ id: "simplified", text });
      return changed(input, targets, context, simplified);
    }
  });
}

async function changed(
  input: PassInput,
  targets: readonly RunTarget[],
  context: JobContext,
  original: Model,
): Promise<PassOutput> {
  const opened = await openStep(input, original, context);
  const { pass, data, running } = opened;
  context.stage(input.command);
  const store = looseModels(recorded(original, data?.record), context.temporary);
  const runner = new Runner({ store, parts: data?.task ?? {} }, running);
  const begin = (): Model => recorded(original, data?.record);
  const sized = await withOptionsForSize(opened, begin, context);
  const step = sized?.step ?? opened;
  const options = sized?.options ?? data?.options ?? input.options;
  if (!input.dryRun) await announceCalibration(pass, options, original, data?.task.calibrate, running);
  const outcome = await runner.run({ pass, options }, store.original);
  running.engine.forget();
  const report = await reportOf(step, outcome);
  if (outcome.changes.length === 0) return report;
  const result = await store.open(outcome.output);
  if (input.dryRun) return { ...report, planned: await plannedOf(original, result, report, running) };
  const idle = pass.makesSmaller === "file" ? await noSmallerThan(original, result) : undefined;
  if (idle !== undefined && !input.force) return { ...report, idle };
  if (pass.beginsAnew) await warnOfUnknownPreparation(result, input.model, context);
  const judgement = await judgeStep(step, result, targets, context);
  const plain = { ...outcome, model: result };
  const spared = await judgedSparing(step, { plain, begin }, judgement, targets, context);
  if (spared === undefined || spared instanceof Miss) {
    await requireKept(step, result, judgement, outcome.changes, spared?.reason);
    return writeJudged(step, result, report, judgement, idle, context);
  }
  const { made, sparing } = spared;
  await requireKept(step, made.model, spared.judgement, made.changes, alreadySpared(sparing));
  const { changes, misses } = made;
  return writeJudged(step, made.model, { ...report, changes, misses, sparing }, spared.judgement, undefined, context);
}

function writeJudged(
  ...[step, result, report, judgement, idle, context]: Parameters<typeof write>
): Promise<WrittenOutput> {
  throwIfAborted(context.signal, "Stopped on request.");
  warnOfLoss(step, judgement, context);
  return write(step, result, report, judgement, idle, context);
}

/** Records the preprocessing in a copy. */
function recorded(original: Model, record: OpenedData["record"] = new Map()): Model {
  const model = original.clone();
  for (const [key, value] of record) model.header.metadata.set(key, value);
  return model;
}

async function openStep(input: PassInput, original: Model, context: JobContext): Promise<OpenStep> {
  const pass = steps.get(input.command);
  if (pass === undefined) throw new Error(`There is no pass "${input.command}".`);
  await requireOtherThanWeights(input.out, original, input.model);
  // Opening the data records its preprocessing in the model.
  const continues = isChanged(original);
  requireOutputs(original, input.model);
  requireLayers(original, input.options);
  const options = await openModules(pass.id, pass.options, input.options);
  await pass.checkModel?.(original.clone(), { ...options, ...(input.data && standIns(pass)) });
  // Before the slow measurements.
  const references = await openReferences(pass, original, input);
  // A teacher can be a result of Pith.
  if (references.aim !== undefined && pass.reference !== "teacher")
    await warnOfOrder(
      [references.aim, { model: original, path: input.model }],
      (before, after) => [input.command, after, "--original", before],
      context,
    );
  const running = contextOf(watchLoads(createEngine()), input, context);
  const restored = pass.restores === undefined ? undefined : input.options[pass.restores];
  const like = typeof restored === "string" ? await open(restored) : original;
  const { aim } = references;
  if (input.data === undefined)
    return { input, pass, original, continues, like, aim, data: undefined, judging: undefined, running };
  const data = await openData(original, references, input, input.data, running, context);
  const judging = input.dryRun
    ? undefined
    : await openJudging(pass, original, references, input, data, running, context);
  return { input, pass, original, continues, like, aim, data, judging, running };
}

async function reportOf({ input, original, data, judging }: OpenStep, outcome: StepResult): Promise<StepReport> {
  const train = data?.samples.train;
  return {
    changes: outcome.changes,
    misses: outcome.misses,
    training: outcome.training,
    history: outcome.history,
    before: await weightOf(original, input.model),
    preprocessing: data?.preprocessing,
    samples: data && { ...data.samples, train: train && { ...train, ...outcome.learnt } },
    knewNothing: judging === undefined ? undefined : !judging.judge.aboveChance,
    goal: judging?.goal,
    targets: [],
  };
}

async function write(
  { input, pass, original, continues, aim, searched, running }: OpenStep,
  result: Model,
  report: StepReport,
  { compared, judged, kept, lost, targets }: Judgement,
  idle: string | undefined,
  context: JobContext,
): Promise<WrittenOutput> {
  context.stage("write");
  const copies = await saveResult(result, input, context);
  warnOfDefaults(original, context);
  context.stage("compress");
  const saved = await open(input.out);
  const [before, after] = await Promise.all([
    input.compressesOriginal === false ? report.before : withCompressed(report.before, original, input.model),
    withCompressed(await weightOf(saved, input.out), saved, input.out, copies),
  ]);
  const masked = isPruned(result);
  const uneven = computesOther(report.before, after) ? unevenChannels(original, result) : undefined;
  // Masks are folded in before a model is used.
  const speed = masked ? undefined : await speedOf(result, aim ?? { model: original, path: input.model }, running);
  warnOfSpeed(speed, { ...report, uneven }, after, { pass, input }, context);
  const isJudgedAlone = trains(pass) && pass.reference === undefined && compared?.reference === undefined;
  return {
    ...report,
    before,
    samples: report.samples && testedOn(report.samples, compared, report.sparing?.searched ?? searched),
    after,
    masked,
    trainable: hasFloatWeights(result, infer(result)),
    uneven,
    comparison: compared?.comparison,
    verdict: judged?.verdict,
    against: judged?.against,
    pruned: isJudgedAlone && wasPruned(original) ? true : undefined,
    continues: continues && judged !== undefined && aim === undefined ? true : undefined,
    likeness: kept?.likeness,
    others: kept?.others,
    targets,
    lost: lost?.text,
    idle,
    reference: compared?.reference,
    speed,
    written: input.out,
  };
}

/** Warns of a result that is slower than the input model, or no faster although it computes less. */
function warnOfSpeed(
  speed: Timed | undefined,
  computed: Parameters<typeof noFasterText>[1],
  after: Weight,
  { pass, input: { model, options } }: Pick<OpenStep, "pass" | "input">,
  { log }: JobContext,
): void {
  if (speed === undefined || "unmeasured" in speed.found || speed.against !== model) return;
  const slower = slowerText(speed);
  const text = noFasterText(speed.found.factor, computed, after) ?? slower;
  if (text === undefined) return;
  const advice = slower === undefined ? "" : fasterAdvice(pass, options);
  log({ id: "speed", text: `${text}${advice}`, level: "warning" });
}

async function plannedOf(
  original: Model,
  result: Model,
  { before }: StepReport,
  context: Context,
): Promise<PlannedCost | undefined> {
  const { parameters, macs } = await countsOf(result);
  if (!computesOther(before, { macs })) return undefined;
  const time = before.bytes > largestTimed ? undefined : await relativeTime(original, result, context);
  return {
    ...{ parameters, macs, uneven: unevenChannels(original, result) },
    time: time === undefined || time instanceof Miss ? undefined : shareOfTime(time),
  };
}

const names = v.optional(v.union([v.string(), v.array(v.string())]));
const namedLayers = v.object({
  layers: names,
  except: names,
  overrides: v.optional(v.record(v.string(), v.looseObject({}))),
});

function requireLayers(model: Model, options: PassInput["options"]): void {
  const { success, output: selection } = v.safeParse(namedLayers, options);
  if (!success || Object.values(selection).every((named) => named === undefined)) return;
  const copy = model.clone();
  storeWeights(copy);
  selectLayers(allLayers(copy, infer(copy)), selection);
}

function wasPruned(model: Model): boolean {
  return model.header.metadata.has(keptKey) || isPruned(model);
}

async function warnOfUnknownPreparation(model: Model, path: string, { log }: Pick<JobContext, "log">): Promise<void> {
  if (!(await isPreparedUnknown(model, path))) return;
  const text = "no file states its preprocessing, and it cannot be guessed once the weights are reinitialized";
  const advice = "give --data here with the original, or --preprocess when you train the model";
  log({ id: "preprocessing", text: `${text}: ${advice}`, level: "warning" });
}

/** Whether the model takes images, and neither it nor a sidecar file states the preprocessing. */
async function isPreparedUnknown(model: Model, path: string): Promise<boolean> {
  if (!model.graph.feeds.some(({ type }) => takesImages(type))) return false;
  if (recordedPrepared(model).images !== undefined) return false;
  return (await readSidecars(path)).preprocessing === undefined;
}
