/** The training loop: epochs of seeded minibatches through a step graph. Randomness is a function of seed and epoch, so that training can resume. */
import { firstBatch } from "#batches";
import { type Batch, counted, dataError, type Model, optionError, PithError, save, throwIfAborted } from "#ir";
import { type Context, valueText } from "#pass";
import { makeFolder, removeLeftovers } from "#platform";
import { createFeed, type Feed, type FeedRound } from "../../data/prefetch/feed.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { bestFile, type Identity, lastFile, requireFreeFolder, writeCheckpoint } from "./checkpoint.ts";
import {
  evaluateWeights,
  evaluationText,
  isEvaluationDue,
  isPatienceOver,
  patienceText,
  recordEvaluation,
} from "./evaluation.ts";
import type { Floats } from "./floats.ts";
import { clipByNorm } from "./optimizer.ts";
import { epochSeed, type Plan, rateFactor, stepsOf } from "./plan.ts";
import {
  areUnchanged,
  continueTraining,
  identityOf,
  type OpenCheckpoint,
  openCheckpoint,
  type Progress,
  tensorsOf,
} from "./resume.ts";
import type { TrainOutcome } from "./train.ts";
import { openLog, requireLog, type TrainingLog } from "./training-log.ts";
import {
  addLoss,
  type Counters,
  changedValues,
  currentEpoch,
  endEpoch,
  startCounters,
  startTraining,
  stateOf,
  summaryOf,
  type TrainingState,
  withWeights,
} from "./training-state.ts";

interface LoopOutcome extends Pick<TrainOutcome, "history" | "training" | "curve"> {
  readonly names: readonly string[];
  /** No evaluation was better than the initial one. */
  readonly isUnchanged: boolean;
}

/**
 * Trains a model in place by a plan. After a stop, the model and the checkpoint keep the progress.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_DATA if data and model do not fit, E_DIVERGED for a loss or parameter that is NaN or infinite, E_STOPPED
 * on the signal, E_OPTION if a checkpoint belongs to another training, E_FILE if a checkpoint would be overwritten.
 */
export async function runLoop(model: Model, plan: Plan, context: Context): Promise<LoopOutcome> {
  if (plan.checkpoint !== undefined) await requireFreeFolder(plan.checkpoint, plan.resume);
  if (plan.log !== undefined) await requireLog(plan.log);
  const identity = plan.checkpoint === undefined ? {} : await identityOf(model, plan, context);
  const resumePoint = await openCheckpoint(model, plan, identity, context);
  const initial = tensorsOf(model);
  const loop = new TrainingLoop(model, plan, context, identity, resumePoint);
  try {
    await loop.train();
    const outcome = loop.outcome();
    return { ...outcome, isUnchanged: outcome.training.chosen?.best.step === 0 && (await areUnchanged(initial)) };
  } catch (error) {
    if (error instanceof PithError && error.code === "E_STOPPED") throw await loop.saveStopped(error);
    // Also reverts the weights of completed epochs, which the checkpoint contains.
    for (const [value, tensor] of initial) value.tensor = tensor;
    throw error;
  } finally {
    await loop.release();
  }
}

export async function logPlan(model: Model, plan: Plan, context: Context): Promise<LoopOutcome> {
  const { data, size, epochs, accumulate, loss, optimizer, learningRate } = plan;
  const { step } = await startTraining(model, await firstBatch(data, size), plan, context);
  const names = step.parameters.map(({ name }) => name);
  await step.release();
  const steps = stepsOf(plan);
  const stepsText = steps === undefined ? "" : ` of ${counted(steps / epochs, "step")}`;
  const samples = data.count === undefined ? "a stream of samples" : counted(data.count, "sample");
  const batches = `batches of ${size}${accumulate === 1 ? "" : `, ${accumulate} for a step`}`;
  const text = `${counted(epochs, "epoch")}${stepsText} over ${samples} (${batches}), ${optimizer.name} at ${learningRate}, loss ${loss.name}`;
  context.log({ id: "plan", text });
  const counters = startCounters();
  return { history: [], training: summaryOf(counters, plan), curve: counters.curve, names, isUnchanged: false };
}

class TrainingLoop {
  readonly #model: Model;
  readonly #plan: Plan;
  readonly #context: Context;
  readonly #identity: Identity;
  readonly #resumed: OpenCheckpoint | undefined;
  readonly #counters: Counters;
  /** Undefined before the first batch, which provides the sizes. */
  #training: TrainingState | undefined;
  #best: readonly Floats[] | undefined;
  #savedSteps: number | undefined;
  #log: TrainingLog | undefined;
  #loss = 0;
  /** The callback that ended the training by returning "stop". */
  #stoppedBy: "onStep" | "onEpoch" | undefined;

  constructor(model: Model, plan: Plan, context: Context, identity: Identity, resumePoint: OpenCheckpoint | undefined) {
    this.#model = model;
    this.#plan = plan;
    this.#context = context;
    this.#identity = identity;
    this.#resumed = resumePoint;
    this.#counters = resumePoint?.counters ?? startCounters();
    this.#savedSteps = resumePoint?.counters.steps;
  }

  async train(): Promise<void> {
    const feed = createFeed(this.#plan.data, this.#rounds());
    try {
      await this.#runEpochs(feed);
    } finally {
      await feed.close();
    }
  }

  *#rounds(): Iterable<FeedRound> {
    const { size, epochs } = this.#plan;
    const { epoch: first, batches: skippedBatches } = this.#counters;
    for (let epoch = first; epoch <= epochs; epoch++) {
      const shuffle = epochSeed(this.#context.seed, epoch);
      yield { size, shuffle, epoch, dropLast: true, skip: epoch === first ? skippedBatches : 0 };
    }
  }

  async #runEpochs(feed: Feed): Promise<void> {
    const { data, size, epochs, accumulate } = this.#plan;
    const counters = this.#counters;
    while (counters.epoch <= epochs && !this.#isDone()) {
      const [startTime, seconds] = [performance.now(), counters.seconds];
      for await (const batch of feed.batches()) {
        const training = await this.#openTraining(batch);
        if (counters.batches % accumulate === 0) {
          if (this.#stoppedBy !== undefined) return await this.#endInsideEpoch(training);
          throwIfAborted(this.#context.signal);
          await this.#evaluateIfDue(training, "step");
          if (this.#isDone()) break;
        }
        await this.#runBatch(training, batch);
        counters.seconds = seconds + secondsSince(startTime);
      }
      if (counters.steps === 0)
        throw dataError(
          `${data.name} has fewer than ${size * accumulate} samples, which one step needs${accumulate === 1 ? "" : ` (${accumulate} batches of ${size})`}.`,
        );
      await this.#endEpoch(await this.#openTraining());
    }
    await this.#openTraining();
    if (this.#stoppedBy !== undefined) this.#logStop();
    else if (this.#isDone()) this.#context.log({ id: "patience", text: patienceText(counters) });
  }

  /** Evaluates and saves a training that a callback stopped inside an epoch, so that it can continue from this step. */
  async #endInsideEpoch(training: TrainingState): Promise<void> {
    await this.#evaluateIfDue(training, "end");
    await this.#save();
    this.#logStop();
  }

  #logStop(): void {
    const text = `ended after ${counted(this.#counters.steps, "step")}: ${this.#stoppedBy} returned "stop"`;
    this.#context.log({ id: "stop", text });
  }

  /** @param example default: the first batch, for a training that resumes after its last step. */
  async #openTraining(example?: Batch): Promise<TrainingState> {
    if (this.#training !== undefined) return this.#training;
    const { data, size, log, validation, checkpoint } = this.#plan;
    const batch = example ?? (await firstBatch(data, size));
    const training = await startTraining(this.#model, batch, this.#plan, this.#context);
    this.#training = training;
    const resumePoint = this.#resumed;
    if (log !== undefined) {
      const metric = validation && (validation.metric?.name ?? "loss");
      this.#log = await openLog(log, metric, resumePoint?.counters.steps);
    }
    if (checkpoint === undefined) return training;
    await makeFolder(checkpoint);
    // A killed process can leave temporary files, and the best file may never be written again.
    for (const file of [lastFile, bestFile]) await removeLeftovers(file(checkpoint));
    if (resumePoint === undefined) return training;
    this.#best = await continueTraining(training, this.#plan, resumePoint);
    this.#context.log({ id: "resume", text: `continued after ${counted(resumePoint.counters.steps, "step")}` });
    return training;
  }

  async #runBatch({ step, accumulator }: TrainingState, batch: Batch): Promise<void> {
    const { optimizer, learningRate, clip, accumulate } = this.#plan;
    const counters = this.#counters;
    const total = stepsOf(this.#plan);
    const loss = await step.run(batch, [counters.epoch, counters.batches]);
    if (!Number.isFinite(loss)) {
      requireNumbers(batch, this.#plan.data.name, counters);
      throw this.#diverged(`The loss is ${loss}`, counters.steps + 1);
    }
    counters.sum += loss;
    this.#loss += loss;
    counters.batches++;
    if (!accumulator.add()) return;
    if (clip !== undefined) clipByNorm(step.parameters, clip);
    const rate = learningRate * rateFactor(this.#plan, counters.steps);
    optimizer.update(step.parameters, rate);
    counters.steps++;
    const report = { step: counters.steps, epoch: counters.epoch, loss: this.#loss / accumulate, learningRate: rate };
    this.#loss = 0;
    addLoss(counters.curve, report.loss);
    await this.#log?.step(report);
    const meanText = `loss ${(counters.sum / counters.batches).toFixed(4)}`;
    this.#context.progress(counters.steps, total, meanText, report.loss);
    this.#stopIfReturned("onStep", await this.#plan.onStep?.(report));
  }

  async #evaluateIfDue(training: TrainingState, moment: "step" | "epoch" | "end"): Promise<void> {
    const { validation, checkpoint } = this.#plan;
    const counters = this.#counters;
    if (validation === undefined || !isEvaluationDue(counters, this.#plan, moment)) return;
    this.#requireFinite(training);
    const candidate = withWeights(this.#model, training, training.weights);
    const figure = await evaluateWeights(candidate, validation, this.#plan, this.#context);
    this.#context.log({ id: "evaluation", text: evaluationText(validation, counters.steps, figure) });
    await this.#log?.evaluated({ step: counters.steps, epoch: counters.epoch }, figure);
    if (recordEvaluation(counters, validation, figure)) {
      this.#best = training.weights.map((values) => values.slice());
      if (checkpoint !== undefined) await save(candidate, bestFile(checkpoint));
    }
    if (moment === "step") await this.#save();
  }

  async #endEpoch(training: TrainingState): Promise<void> {
    // Batches that do not fill a step are dropped, like samples that do not fill a batch.
    training.accumulator.clear();
    this.#loss = 0;
    await this.#evaluateIfDue(training, this.#stoppedBy === undefined ? "epoch" : "end");
    const completedEpoch = endEpoch(this.#counters, this.#plan.accumulate);
    const { epoch, loss, seconds } = completedEpoch;
    const text = `epoch ${epoch}/${this.#plan.epochs}  training loss ${loss.toFixed(4)}  ${seconds.toFixed(1)} s`;
    this.#context.log({ id: "epoch", text });
    await this.#save();
    this.#stopIfReturned("onEpoch", await this.#plan.onEpoch?.(completedEpoch));
  }

  /** @throws PithError E_OPTION for a result that is neither "stop" nor undefined. */
  #stopIfReturned(callback: "onStep" | "onEpoch", result: unknown): void {
    if (result === "stop") this.#stoppedBy = callback;
    else if (result !== undefined)
      throw optionError(`${callback}: expected "stop" or no result, got ${valueText(result)}.`);
  }

  /** @returns the error to throw. */
  async saveStopped(cause: PithError): Promise<PithError> {
    await this.#save();
    const { checkpoint } = this.#plan;
    const stoppedText = `Stopped after ${counted(this.#counters.steps, "step")}`;
    if (checkpoint === undefined || this.#savedSteps !== this.#counters.steps)
      return new PithError("E_STOPPED", `${stoppedText}.`, { cause });
    const text = `${stoppedText}; the weights are in "${lastFile(checkpoint)}".`;
    return new PithError("E_STOPPED", text, { hint: "Run the same training with `resume` to continue.", cause });
  }

  /** @throws PithError E_DIVERGED if a value is not finite. */
  async #save(): Promise<void> {
    const training = this.#training;
    if (training === undefined) return;
    this.#requireFinite(training);
    training.step.store(this.#model, training.weights);
    await this.#log?.flush();
    const { checkpoint } = this.#plan;
    if (checkpoint === undefined) return;
    const progress: Progress = { counters: this.#counters, identity: this.#identity, epochs: this.#plan.epochs };
    await writeCheckpoint(lastFile(checkpoint), {
      model: withWeights(this.#model, training),
      state: stateOf(training, this.#plan, this.#model),
      progress,
    });
    this.#savedSteps = this.#counters.steps;
  }

  #requireFinite({ step }: TrainingState): void {
    const { steps } = this.#counters;
    const nonFinite = changedValues(step).find(({ values }) => !values.every(Number.isFinite));
    if (nonFinite === undefined) return;
    if (steps > 0) throw this.#diverged(`"${nonFinite.name}" is no longer finite`, steps);
    throw new PithError("E_DIVERGED", `"${nonFinite.name}" is not finite, and training has not begun.`, {
      hint: "Check the model: a weight is already NaN or infinite.",
    });
  }

  outcome(): Omit<LoopOutcome, "isUnchanged"> {
    const training = this.#training;
    const { history, batches } = this.#counters;
    training?.step.store(this.#model, this.#best ?? training.weights);
    return {
      history: [...history, ...(batches === 0 ? [] : [currentEpoch(this.#counters, this.#plan.accumulate)])],
      training: summaryOf(this.#counters, this.#plan),
      curve: this.#counters.curve,
      names: training?.step.parameters.map(({ name }) => name) ?? [],
    };
  }

  async release(): Promise<void> {
    await this.#log?.flush();
    await this.#training?.step.release();
  }

  #diverged(problem: string, step: number): PithError {
    const { checkpoint, validation, loss } = this.#plan;
    const savedSteps = checkpoint === undefined ? undefined : this.#savedSteps;
    const folder = savedSteps === undefined ? "" : ", with another `checkpoint`,";
    const hint = [
      `Start again from the original model${folder} and a smaller \`learningRate\` or \`clip\` 1, and check that the inputs are properly scaled.`,
    ];
    if (loss.teachers !== undefined) hint.push("Check that the outputs of the teacher are finite, too.");
    // The weights after 0 steps are the initial weights of the model.
    if (checkpoint !== undefined && savedSteps !== undefined && savedSteps > 0)
      hint.push(
        `"${lastFile(checkpoint)}" has the weights after ${counted(savedSteps, "step")}, which may be useless.`,
      );
    const { best } = this.#counters;
    if (checkpoint !== undefined && validation !== undefined && best !== undefined)
      hint.push(`"${bestFile(checkpoint)}" has the best ones, ${evaluationText(validation, best.step, best.figure)}.`);
    return new PithError("E_DIVERGED", `${problem} at step ${step}.`, { hint: hint.join(" ") });
  }

  #isDone(): boolean {
    return this.#stoppedBy !== undefined || isPatienceOver(this.#counters, this.#plan);
  }
}

/** @throws PithError E_DATA for NaN in the data, which no learning rate can fix. Infinities are common in masks. */
function requireNumbers(batch: Batch, name: string, { epoch, batches }: Counters): void {
  for (const [column, { data }] of Object.entries(batch)) {
    if (!data.some((entry: unknown) => Number.isNaN(entry))) continue;
    throw dataError(`${name}: "${column}" holds NaN in batch ${batches + 1} of epoch ${epoch}.`, {
      hint: "Check the source of the data, or remove such samples.",
    });
  }
}
