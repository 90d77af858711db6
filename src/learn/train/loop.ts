/**
 * The training loop: epochs of seeded minibatches through a step graph. The state is the parameters, the optimizer's and
 * average's arrays, and counters. Randomness is a function of seed and epoch, so a checkpoint continues bit by bit.
 */

import { makeFolder, removeLeftovers } from "#platform";
import { PithError, throwIfAborted } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { counted } from "../../core/numbers.ts";
import { save } from "../../core/onnx/index.ts";
import { shown } from "../../core/pass/option-errors.ts";
import type { Context } from "../../core/pass/pass.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { type Batch, typeCodes } from "../../core/tensor/types.ts";
import { createFeed, type Feed, type Round } from "../../data/feed.ts";
import { firstBatch } from "../../data/select.ts";
import { keepWeights, takeKeptWeights } from "../../rewrite/edit/kept-weights.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { bestFile, type Identity, lastFile, requireFreeFolder, trainedOf, writeCheckpoint } from "./checkpoint.ts";
import { addLoss } from "./curve.ts";
import {
  countEvaluation,
  evaluationText,
  figureOf,
  isEvaluationDue,
  isPatienceOver,
  patienceText,
} from "./evaluating.ts";
import type { Floats } from "./floats.ts";
import { forwardLoss } from "./forward-loss.ts";
import { type BuiltLoss, inFloat32, type LossScope, scaledSum } from "./loss.ts";
import { epochSeed, type Plan, rateFactor, stepsOf } from "./plan.ts";
import {
  type Before,
  beginningOf,
  checkpointBefore,
  continueTraining,
  isAsGiven,
  type Progress,
  tensorsOf,
} from "./resuming.ts";
import { teacherName } from "./teacher.ts";
import type { TrainOutcome } from "./train.ts";
import { openLog, requireLog, type TrainingLog } from "./training-log.ts";
import {
  type Counters,
  changingIn,
  currentEpoch,
  endEpoch,
  ownWeights,
  startCounters,
  startTraining,
  stateOf,
  summaryOf,
  type TrainingState,
  withWeights,
} from "./training-state.ts";
import { clipByNorm } from "./updates.ts";

interface LoopOutcome extends Pick<TrainOutcome, "history" | "training" | "curve"> {
  readonly names: readonly string[];
  /** No evaluation was better than the initial one, so the model is unchanged. */
  readonly isAsBefore: boolean;
}

/**
 * Trains a model in place by a plan. After a stop, the model and the checkpoint keep the progress.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_DATA if data and model do not fit, E_DIVERGED with the step at which the loss or a
 * parameter became NaN or infinite (the checkpoint is from before), E_STOPPED on the signal, E_OPTION if a checkpoint belongs to
 * another training, E_FILE if one would be overwritten.
 */
export async function runLoop(model: Model, plan: Plan, context: Context): Promise<LoopOutcome> {
  if (plan.checkpoint !== undefined) await requireFreeFolder(plan.checkpoint, plan.resume);
  if (plan.log !== undefined) await requireLog(plan.log);
  const before = await checkpointBefore(model, plan, context);
  const given = tensorsOf(model);
  const run = new TrainingLoop(model, plan, context, before);
  try {
    await run.train();
    return await run.outcome();
  } catch (error) {
    if (error instanceof PithError && error.code === "E_STOPPED") throw await run.stopped(error);
    // A failure undoes completed epochs, too: the checkpoint has them.
    else for (const [value, tensor] of given) value.tensor = tensor;
    throw error;
  } finally {
    await run.release();
  }
}

export async function rehearse(model: Model, plan: Plan, context: Context): Promise<LoopOutcome> {
  const { data, size, epochs, accumulate, loss, optimizer, learningRate } = plan;
  const { step } = await startTraining(model, await firstBatch(data, size), plan, context);
  const names = step.parameters.flatMap(({ name }) => (step.own.has(name) ? [] : [name]));
  await step.release();
  const steps = stepsOf(plan);
  const of = steps === undefined ? "" : ` of ${counted(steps / epochs, "step")}`;
  const samples = data.count === undefined ? "a stream of samples" : counted(data.count, "sample");
  const batches = `batches of ${size}${accumulate === 1 ? "" : `, ${accumulate} for a step`}`;
  const text = `${counted(epochs, "epoch")}${of} over ${samples} (${batches}), ${optimizer.name} at ${learningRate}, loss ${loss.name}`;
  context.log({ id: "plan", text });
  const counters = startCounters();
  return { history: [], training: summaryOf(counters, plan), curve: counters.curve, names, isAsBefore: false };
}

/** The loop starts with the first batch, which provides the sizes. */
class TrainingLoop {
  readonly #model: Model;
  readonly #plan: Plan;
  readonly #context: Context;
  readonly #before: Before | undefined;
  readonly #counters: Counters;
  readonly #given: ReturnType<typeof tensorsOf>;
  #training: TrainingState | undefined;
  #best: readonly Floats[] | undefined;
  #identity: Identity | undefined;
  #kept: number | undefined;
  #log: TrainingLog | undefined;
  #loss = 0;
  /** The callback that ended the training. */
  #stoppedBy: "onStep" | "onEpoch" | undefined;

  constructor(model: Model, plan: Plan, context: Context, before: Before | undefined) {
    this.#model = model;
    this.#plan = plan;
    this.#context = context;
    this.#before = before;
    this.#counters = before?.counters ?? startCounters();
    this.#kept = before?.counters.steps;
    this.#given = plan.validation === undefined ? new Map() : tensorsOf(model);
  }

  async train(): Promise<void> {
    const feed = createFeed(this.#plan.data, this.#rounds());
    try {
      await this.#epochs(feed);
      this.#keepWeightsIfDue();
    } finally {
      await feed.close();
    }
  }

  *#rounds(): Iterable<Round> {
    const { size, epochs } = this.#plan;
    const { epoch: first, batches: done } = this.#counters;
    for (let epoch = first; epoch <= epochs; epoch++) {
      const shuffle = epochSeed(this.#context.seed, epoch);
      yield { size, shuffle, epoch, dropLast: true, skip: epoch === first ? done : 0 };
    }
  }

  async #epochs(feed: Feed): Promise<void> {
    const { data, size, epochs, accumulate } = this.#plan;
    const counters = this.#counters;
    while (counters.epoch <= epochs && !this.#isDone()) {
      const [began, seconds] = [performance.now(), counters.seconds];
      for await (const batch of feed.batches()) {
        await this.#begin(batch);
        if (counters.batches % accumulate === 0) {
          if (this.#stoppedBy !== undefined) return await this.#endInsideEpoch();
          this.#keepWeightsIfDue();
          throwIfAborted(this.#context.signal);
          await this.#evaluateIfDue();
          if (this.#isDone()) break;
        }
        await this.#oneBatch(batch);
        counters.seconds = seconds + secondsSince(began);
      }
      if (counters.steps === 0)
        throw new PithError(
          "E_DATA",
          `${data.name} has fewer than ${size * accumulate} samples, which one step needs${accumulate === 1 ? "" : ` (${accumulate} batches of ${size})`}.`,
        );
      await this.#beginAnyhow();
      await this.#endEpoch();
    }
    await this.#beginAnyhow();
    if (this.#stoppedBy !== undefined) this.#logStop();
    else if (this.#isDone()) this.#context.log({ id: "patience", text: patienceText(counters) });
  }

  /** The checkpoint continues inside the epoch. */
  async #endInsideEpoch(): Promise<void> {
    await this.#evaluateIfDue("end");
    await this.keep();
    this.#logStop();
  }

  #logStop(): void {
    const text = `ended after ${counted(this.#counters.steps, "step")}: ${this.#stoppedBy} returned "stop"`;
    this.#context.log({ id: "stop", text });
  }

  async #begin(batch: Batch): Promise<void> {
    if (this.#training !== undefined) return;
    const training = await startTraining(this.#model, batch, this.#plan, this.#context);
    this.#training = training;
    const { log, validation } = this.#plan;
    if (log !== undefined) {
      const figure = validation && (validation.metric?.name ?? "loss");
      this.#log = await openLog(log, figure, this.#before?.counters.steps);
    }
    if (this.#plan.checkpoint === undefined) return;
    const names = [...training.step.parameters, ...training.step.masks].map(({ name }) => name);
    const trained = trainedOf(this.#model, names);
    this.#identity = { trained, ...(await beginningOf(this.#model, this.#plan, this.#context)) };
    // Creates the folder only when the training is known to begin.
    await makeFolder(this.#plan.checkpoint);
    // A killed process can leave temporary files, and the best file may never be written again.
    for (const file of [lastFile, bestFile]) await removeLeftovers(file(this.#plan.checkpoint));
    if (this.#before === undefined) return;
    this.#best = await continueTraining(training, this.#plan, this.#before, trained);
    if (this.#plan.keepStep !== undefined) takeKeptWeights(this.#model, this.#before.model);
    this.#context.log({ id: "resume", text: `continued after ${counted(this.#before.counters.steps, "step")}` });
  }

  /** A training that resumes after its last batch has no batch to begin with. */
  async #beginAnyhow(): Promise<void> {
    if (this.#training === undefined) await this.#begin(await firstBatch(this.#plan.data, this.#plan.size));
  }

  async #oneBatch(batch: Batch): Promise<void> {
    const { optimizer, learningRate, clip, accumulate } = this.#plan;
    const [training, counters] = [this.#training, this.#counters];
    if (training === undefined) return;
    const total = stepsOf(this.#plan);
    const moment = { step: counters.steps, total: total ?? Number.POSITIVE_INFINITY };
    const loss = await training.step.run(batch, [counters.epoch, counters.batches], moment);
    if (!Number.isFinite(loss)) {
      requireNumbers(batch, this.#plan.data.name, counters);
      await requireTeachers(this.#model, batch, this.#plan, this.#context);
      throw this.#diverged(`The loss is ${loss}`, counters.steps + 1);
    }
    counters.sum += loss;
    this.#loss += loss;
    counters.batches++;
    if (!training.accumulator.add()) return;
    const { parameters } = training.step;
    training.pruning?.observe();
    if (clip !== undefined) clipByNorm(parameters, clip);
    const rate = learningRate * rateFactor(this.#plan, counters.steps);
    optimizer.update(parameters, rate);
    training.shrink?.(rate, total === undefined ? 1 : (counters.steps + 1) / total);
    training.average?.update();
    counters.steps++;
    if (total !== undefined) await training.pruning?.prune(counters.steps, total);
    const { steps: step, epoch } = counters;
    const mean = this.#loss / accumulate;
    this.#loss = 0;
    addLoss(counters.curve, mean);
    const trained = { step, epoch, loss: mean, learningRate: rate };
    await this.#log?.step(trained);
    this.#context.progress(counters.steps, total, `loss ${(counters.sum / counters.batches).toFixed(4)}`);
    this.#stopIfReturned("onStep", await this.#plan.onStep?.(trained));
  }

  async #evaluateIfDue(moment: "step" | "epoch" | "end" = "step"): Promise<void> {
    const { validation, checkpoint } = this.#plan;
    const [training, counters] = [this.#training, this.#counters];
    if (validation === undefined || training === undefined) return;
    if (!isEvaluationDue(counters, this.#plan, moment)) return;
    this.#requireFinite(training);
    const candidate = withWeights(this.#model, training, training.weights);
    const figure = await figureOf(candidate, validation, this.#plan, this.#context, ownWeights(training));
    this.#context.log({ id: "evaluation", text: evaluationText(validation, counters.steps, figure) });
    await this.#log?.evaluated({ step: counters.steps, epoch: counters.epoch }, figure);
    const isPruning = training.pruning?.isOver(counters.steps, stepsOf(this.#plan) ?? 0) === false;
    if (countEvaluation(counters, validation, figure, isPruning)) {
      this.#best = training.weights.map((values) => values.slice());
      if (checkpoint !== undefined) await save(candidate, bestFile(checkpoint));
    }
    if (moment === "step") await this.keep();
  }

  #keepWeightsIfDue(): void {
    const training = this.#training;
    if (training === undefined || this.#counters.steps !== this.#plan.keepStep) return;
    keepWeights(this.#model, withWeights(this.#model, training));
  }

  async #endEpoch(): Promise<void> {
    // Batches that do not fill a step are dropped, like samples that do not fill a batch.
    this.#training?.accumulator.clear();
    this.#loss = 0;
    await this.#evaluateIfDue("epoch");
    const ended = endEpoch(this.#counters, this.#plan.accumulate);
    const { epoch, loss, seconds } = ended;
    const text = `epoch ${epoch}/${this.#plan.epochs}  training loss ${loss.toFixed(4)}  ${seconds.toFixed(1)} s`;
    this.#context.log({ id: "epoch", text });
    await this.keep();
    this.#stopIfReturned("onEpoch", await this.#plan.onEpoch?.(ended));
  }

  /** @throws PithError E_OPTION for a result that is neither "stop" nor undefined. */
  #stopIfReturned(callback: "onStep" | "onEpoch", result: unknown): void {
    if (result === "stop") this.#stoppedBy = callback;
    else if (result !== undefined)
      throw new PithError("E_OPTION", `${callback}: expected "stop" or no result, got ${shown(result)}.`);
  }

  /** Saves the progress. @returns the error to throw. */
  async stopped(cause: PithError): Promise<PithError> {
    await this.keep();
    const { checkpoint } = this.#plan;
    const after = `Stopped after ${counted(this.#counters.steps, "step")}`;
    if (checkpoint === undefined || this.#kept !== this.#counters.steps)
      return new PithError("E_STOPPED", `${after}.`, { cause });
    const text = `${after}; the weights are in "${lastFile(checkpoint)}".`;
    return new PithError("E_STOPPED", text, { hint: "Run the same training with `resume` to continue.", cause });
  }

  /** Writes the progress into the model and the checkpoint. @throws PithError E_DIVERGED if a value is not finite. */
  async keep(): Promise<void> {
    const training = this.#training;
    if (training === undefined) return;
    this.#requireFinite(training);
    training.step.store(this.#model, training.weights);
    await this.#log?.flush();
    const { checkpoint } = this.#plan;
    if (checkpoint === undefined || this.#identity === undefined) return;
    const progress: Progress = { counters: this.#counters, identity: this.#identity, epochs: this.#plan.epochs };
    await writeCheckpoint(lastFile(checkpoint), {
      model: withWeights(this.#model, training),
      state: stateOf(training, this.#plan, this.#model),
      progress,
    });
    this.#kept = this.#counters.steps;
  }

  #requireFinite({ step }: TrainingState): void {
    const { steps } = this.#counters;
    const lost = changingIn(step).find(({ values }) => !values.every(Number.isFinite));
    if (lost === undefined) return;
    if (steps > 0) throw this.#diverged(`"${lost.name}" is no longer finite`, steps);
    throw new PithError("E_DIVERGED", `"${lost.name}" is not finite, and training has not begun.`, {
      hint: "Check the model: a weight is already NaN or infinite.",
    });
  }

  async outcome(): Promise<LoopOutcome> {
    const training = this.#training;
    const { history, batches } = this.#counters;
    training?.step.store(this.#model, this.#best ?? training.weights);
    return {
      history: [...history, ...(batches === 0 ? [] : [currentEpoch(this.#counters, this.#plan.accumulate)])],
      training: summaryOf(this.#counters, this.#plan),
      curve: this.#counters.curve,
      names: training?.step.parameters.map(({ name }) => name) ?? [],
      isAsBefore: this.#counters.best?.step === 0 && (await isAsGiven(this.#given)),
    };
  }

  async release(): Promise<void> {
    await this.#log?.flush();
    await this.#training?.step.release();
  }

  #diverged(what: string, step: number): PithError {
    const { checkpoint, validation } = this.#plan;
    const { best } = this.#counters;
    const kept = checkpoint === undefined ? undefined : this.#kept;
    const again = `Start again from the original model${kept !== undefined ? ", with another `checkpoint`," : ""} and a smaller \`learningRate\` or \`clip\` 1`;
    const hint = [
      `${again}, and check that the inputs are properly scaled.`,
      // After 0 steps the weights are those of the model.
      ...(checkpoint !== undefined && kept !== undefined && kept !== 0
        ? [`"${lastFile(checkpoint)}" has the weights after ${counted(kept, "step")}, which may be useless.`]
        : []),
      ...(checkpoint === undefined || validation === undefined || best === undefined
        ? []
        : [`"${bestFile(checkpoint)}" has the best ones, ${evaluationText(validation, best.step, best.figure)}.`]),
    ];
    return new PithError("E_DIVERGED", `${what} at step ${step}.`, { hint: hint.join(" ") });
  }

  #isDone(): boolean {
    return this.#stoppedBy !== undefined || isPatienceOver(this.#counters, this.#plan);
  }
}

/** @throws PithError E_DATA for NaN in the data, which no learning rate can fix. Infinities are common in masks. */
function requireNumbers(batch: Batch, name: string, { epoch, batches }: Counters): void {
  for (const [column, { data }] of Object.entries(batch)) {
    if (!data.some((entry: unknown) => Number.isNaN(entry))) continue;
    throw new PithError("E_DATA", `${name}: "${column}" holds NaN in batch ${batches + 1} of epoch ${epoch}.`, {
      hint: "Check the source of the data, or remove such samples.",
    });
  }
}

/** @throws PithError E_DATA for NaN in a teacher's outputs, which no learning rate can fix. */
async function requireTeachers(model: Model, batch: Batch, { loss }: Plan, context: Context): Promise<void> {
  for (const teacher of loss.teachers ?? []) {
    const broken = forwardLoss(
      model,
      { name: "broken answers", build: (scope) => brokenAnswers(scope, teacher) },
      context,
    );
    const count = await broken.of(batch).finally(broken.release);
    if (count === 0) continue;
    const which = teacher.place === undefined ? "teacher" : `teacher "${teacherName(teacher)}"`;
    throw new PithError("E_DATA", `The ${which} outputs NaN or infinity.`, {
      hint: "Check its weights and the preprocessing: it can contain NaN, or overflow on the samples.",
    });
  }
}

/** Counts NaN and infinity in a teacher's outputs; -∞ is allowed as the score of an excluded class. */
function brokenAnswers(scope: LossScope, teacher: Model): BuiltLoss {
  const { emit } = scope;
  const { outputs } = scope.teacher(teacher);
  const counts = [...outputs.values()]
    .filter(({ type }) => type !== undefined && isFloat(type.type))
    .map((output) => emit.Not([emit.LessOrEqual([inFloat32(emit, output), 3.4e38])]))
    .map((isBroken) => scaledSum(emit, emit.Cast([isBroken], { to: typeCodes.float32 }), 1));
  const start = emit.constant(float32([], [0]));
  return { value: counts.reduce((sum, each) => emit.Add([sum, each]), start), feeds: () => ({}) };
}
