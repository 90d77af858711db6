/** Measures the drop of a model with some layers changed, for `sensitivity`. Uses only as many samples as the precision of the drop requires. */
import { allLayers, fixedMacs, infer } from "#analysis";
import { Miss, type Model, PithError, storedBytes } from "#ir";
import type { Context } from "#pass";
import type { Estimate } from "../../core/estimate.ts";
import { answersWithNaN } from "../../judge/compare/compare.ts";
import { judge, usualDrop } from "../../judge/compare/goal.ts";
import { Looks } from "../../judge/measure/looks.ts";
import type { PairedMetrics, PairedMetricsOptions, PairedResult } from "../../judge/measure/paired-metrics.ts";
import { metricInputsOf, partsOf } from "../../judge/run/data-parts.ts";
import type { Store } from "../../judge/steps/store.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { zeroShare } from "../../rewrite/edit/stored.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { relativeTime, shareOfTime } from "../../runtime/run/relative-time.ts";
import { isPruned, remove } from "../../techniques/prune/index.ts";
import { isResolved, kindWords, type SensitivityRow } from "./sensitivity-record.ts";
import { applySetting, type Measurement, sweeps, type Unit } from "./sweeps.ts";

type LogEvent = Parameters<Context["log"]>[0];

export type MeasurementResult =
  | Pick<SensitivityRow, "drop" | "saved" | "savedMacs" | "savedTime">
  | { readonly miss: { readonly at: string | undefined; readonly reason: string } };

/** Stored measurement. Its log messages (`said`) are included, so that each process that reads the record logs them again. */
interface MeasurementRecord {
  readonly found: MeasurementResult;
  readonly said: readonly LogEvent[];
}

export interface SweepCosts {
  /** Also measure the saved processor time (default: false). */
  readonly timed?: boolean | undefined;
}

const firstLook = 128;
interface MeasuredOriginal {
  /** The original, with constants stored as initializers. */
  readonly model: Model;
  readonly original: Estimate;
  readonly store: Store;
  readonly task: Task;
  readonly looks: Looks;
  /** The part of a measurement's key that is the same for all layers and settings: model, samples, metric and seed. */
  readonly judging: unknown;
  readonly timed: boolean;
  readonly context: Context;
  readonly messages: LogEvent[];
}

export class Measuring {
  readonly #setup: MeasuredOriginal;

  private constructor(setup: MeasuredOriginal) {
    this.#setup = setup;
  }

  /** Measures the original. @throws PithError E_DATA if the data does not fit the model, or the original is at chance level. */
  static async open(
    store: Store,
    original: Model,
    task: Task,
    { timed = false, ...options }: Pick<PairedMetricsOptions, "batch" | "output"> & Pick<SweepCosts, "timed">,
    outerContext: Context,
  ): Promise<Measuring> {
    const messages: LogEvent[] = [];
    const context: Context = {
      ...outerContext,
      log(event) {
        messages.push(event);
        outerContext.log(event);
      },
    };
    const model = original.clone();
    storeWeights(model);
    const looks = Looks.drawSamples(model, task, options, context, firstLook);
    const first = await looks.measureFirst();
    requireWorkingOriginal(first, task);
    const judging = {
      judging: await metricInputsOf(store, task, await partsOf(task, []), options),
      seed: context.seed,
    };
    const { original: estimate } = first.original.comparison;
    return new Measuring({ model, original: estimate, store, task, looks, judging, timed, context, messages });
  }

  get model(): Model {
    return this.#setup.model;
  }

  get original(): Estimate {
    return this.#setup.original;
  }

  async readStored(measurement: Measurement): Promise<MeasurementResult | undefined> {
    const record = (await this.#setup.store.records?.read(this.#key(measurement))) as MeasurementRecord | undefined;
    for (const event of record?.said ?? []) this.#setup.context.log(event);
    return record?.found;
  }

  async measure(measurement: Measurement): Promise<MeasurementResult> {
    const loggedCount = this.#setup.messages.length;
    const outcome = await this.#measureChange(measurement);
    const record: MeasurementRecord = { found: outcome, said: this.#setup.messages.slice(loggedCount) };
    await this.#setup.store.records?.write(this.#key(measurement), record);
    return outcome;
  }

  async #measureChange({ unit, setting }: Measurement): Promise<MeasurementResult> {
    const changedModel = await changeLayers(unit, setting, this.model, this.#setup.context);
    if (changedModel instanceof Miss) return { miss: { at: changedModel.at, reason: changedModel.reason } };
    const [before, after] = [this.model, changedModel].map(fixedMacs);
    const time = this.#setup.timed
      ? await relativeTime(this.model, changedModel, this.#setup.context, this.#setup.task.test)
      : undefined;
    return {
      drop: await this.#dropOf(changedModel),
      saved: await countSavedBytes(unit, this.model, changedModel),
      ...(typeof before === "number" && typeof after === "number" && before > 0
        ? { savedMacs: 1 - after / before }
        : {}),
      ...(time === undefined || time instanceof Miss ? {} : { savedTime: 1 - shareOfTime(time) }),
    };
  }

  async #dropOf(model: Model): Promise<Estimate> {
    const resolution = usualDrop(this.#setup.task.metric, this.original.value);
    const dropOf = ({ comparison }: PairedResult): Estimate => judge(comparison, { maxDrop: resolution }).drop;
    const isSettled = (result: PairedResult): boolean => isResolved(dropOf(result), resolution);
    return dropOf((await this.#setup.looks.look(model, isSettled)).compared);
  }

  #key({ unit: { kind, layers }, setting }: Measurement): unknown {
    return { sensitivity: this.#setup.judging, kind, layers, setting, ...(this.#setup.timed ? { timed: true } : {}) };
  }
}

function requireWorkingOriginal({ atChance, original, rows }: PairedMetrics, { metric }: Task): void {
  const isBroken = answersWithNaN(metric, original.comparison.original, rows.answers);
  const text = isBroken ? "The original outputs NaN on some or all samples." : atChance;
  if (text !== undefined)
    throw new PithError("E_DATA", `${text} Nothing was measured.`, {
      hint: "Preprocessing, labels or model do not match.",
    });
}

async function changeLayers(
  { kind, layers }: Unit,
  setting: number,
  original: Model,
  context: Context,
): Promise<Model | Miss> {
  const model = original.clone();
  const changes = await applySetting(kind, layers, setting, model, context);
  if (changes instanceof Miss) return new Miss(`${kindWords[kind].text(setting)}: ${changes.reason}`, layers[0]);
  await foldMasksOfPruned(model);
  return model;
}

export async function foldMasksOfPruned(model: Model): Promise<void> {
  if (isPruned(model)) await remove(model);
}

/** Returns the number of saved bytes. For unstructured pruning, these are the bytes of weights that have become zero. */
export async function countSavedBytes({ kind, layers, bytes }: Unit, original: Model, result: Model): Promise<number> {
  if (!sweeps[kind].storesZeros) return storedBytes(original.graph) - storedBytes(result.graph);
  const zeros = async (model: Model): Promise<number> => {
    const weights = allLayers(model, infer(model)).flatMap(({ name, weight }) =>
      layers.includes(name) ? [weight] : [],
    );
    return (await zeroShare(new Set(weights))) ?? 0;
  };
  return Math.round(bytes * ((await zeros(result)) - (await zeros(original))));
}
