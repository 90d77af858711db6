/** Measures the drop of a model with some layers changed, for `sensitivity`. Uses only as many samples as the precision of the drop requires. */
import { allLayers, fixedMacs, infer } from "#analysis";
import { dataError, type Estimate, Miss, type Model, storedBytes } from "#ir";
import type { Context } from "#pass";
import { answersWithNaN } from "../../judge/compare/compare.ts";
import { judge, usualDrop } from "../../judge/compare/goal.ts";
import { Looks } from "../../judge/measure/looks.ts";
import type { PairedMetricsOptions, PairedResult } from "../../judge/measure/paired-metrics.ts";
import { metricInputsOf, partsOf } from "../../judge/run/data-parts.ts";
import { recordOnce, type Store } from "../../judge/steps/store.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { zeroShare } from "../../rewrite/edit/stored.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { watchLoads } from "../../runtime/run/load-check.ts";
import { isPruned, remove } from "../../techniques/prune/index.ts";
import { isResolved, kindWords, type SensitivityRow } from "./sensitivity-record.ts";
import { applySetting, type Measurement, sweeps, type Unit } from "./sweeps.ts";

type MeasuredDrop =
  | Pick<SensitivityRow, "drop" | "saved" | "savedMacs">
  | { readonly miss: { readonly at: string | undefined; readonly reason: string } };

export interface DropMeter {
  /** The original, with constants stored as initializers. */
  readonly model: Model;
  readonly original: Estimate;
  /** Logs each message once and hides progress, because the sweep itself reports the number of measurements. Measurements are silent. */
  readonly context: Context;
  readStored(measurement: Measurement): Promise<MeasuredDrop | undefined>;
  /** Returns the stored result of a measurement. Without one, measures and stores it. */
  measure(measurement: Measurement): Promise<MeasuredDrop>;
}

const firstLook = 128;

/** Measures the original. @throws PithError E_DATA if the data does not fit the model, or the original is at chance level. */
export async function openDropMeter(
  store: Store,
  original: Model,
  task: Task,
  { batch, output }: Pick<PairedMetricsOptions, "batch" | "output">,
  outerContext: Context,
): Promise<DropMeter> {
  const texts = new Set<string>();
  const context: Context = {
    ...outerContext,
    engine: watchLoads(outerContext.engine),
    progress: () => {},
    log(event) {
      if (!texts.has(event.text)) outerContext.log(event);
      texts.add(event.text);
    },
  };
  const { metric } = task;
  const options = { batch, output };
  const model = original.clone();
  storeWeights(model);
  const looks = Looks.drawSamples(model, task, options, context, firstLook);
  const { atChance, rows, original: ofOriginal } = await looks.measureFirst();
  const { original: estimate } = ofOriginal.comparison;
  const failure = answersWithNaN(metric, estimate, rows.answers)
    ? "The original outputs NaN on some or all samples."
    : atChance;
  if (failure !== undefined)
    throw dataError(`${failure} Nothing was measured.`, { hint: "Preprocessing, labels or model do not match." });
  // The part of a measurement's key that is the same for all layers and settings: model, samples, metric and seed.
  const judging = await metricInputsOf(store, task, await partsOf(task, []), options);
  const shared = { sensitivity: { judging, seed: context.seed } };
  const before = fixedMacs(model);
  const resolution = usualDrop(metric, estimate.value);
  const dropOf = ({ comparison }: PairedResult): Estimate => judge(comparison, { maxDrop: resolution }).drop;
  const isSettled = (result: PairedResult): boolean => isResolved(dropOf(result), resolution);
  const measureChange = async ({ unit, setting }: Measurement): Promise<MeasuredDrop> => {
    const { kind, layers } = unit;
    const changed = model.clone();
    const changes = await applySetting(kind, layers, setting, changed, { ...context, log: () => {} });
    if (changes instanceof Miss)
      return { miss: { at: layers[0], reason: `${kindWords[kind].text(setting)}: ${changes.reason}` } };
    await foldMasksOfPruned(changed);
    const after = fixedMacs(changed);
    return {
      drop: dropOf((await looks.look(changed, isSettled)).compared),
      saved: await countSavedBytes(unit, model, changed),
      ...(typeof before === "number" && typeof after === "number" && before > 0
        ? { savedMacs: 1 - after / before }
        : {}),
    };
  };
  const keyOf = ({ unit: { kind, layers }, setting }: Measurement) => ({ ...shared, kind, layers, setting });
  const { records } = store;
  return {
    ...{ model, original: estimate, context },
    readStored: async (measurement) => (await records?.read(keyOf(measurement))) as MeasuredDrop | undefined,
    measure: (measurement) => recordOnce(records, keyOf(measurement), () => measureChange(measurement)),
  };
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
