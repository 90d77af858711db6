/** Measures the sensitivity of each layer: changes only this layer, by one setting after another, and compares the model with the original. */
import { macsPerSample } from "#analysis";
import { Miss, type Model, storedBytes, throwIfAborted } from "#ir";
import { type Context, completeContext, type LayerSelection } from "#pass";
import { version } from "../../core/version.ts";
import { defaultDrop, judge } from "../../judge/compare/goal.ts";
import { Looks } from "../../judge/measure/looks.ts";
import type { PairedResult } from "../../judge/measure/paired-metrics.ts";
import { metricInputsOf, recordSplits } from "../../judge/run/record-keys.ts";
import { recordOnce, type Store, type StoreOptions, withStore } from "../../judge/steps/store.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { watchLoads } from "../../runtime/run/load-check.ts";
import type { Sensitivity, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";
import { isResolved, kindWords, sensitivityFormatVersion, sensitivityKinds } from "./sensitivity-record.ts";
import { applySetting, countSavedBytes, orderMeasurements, type SweepMeasurement, sweeps, unitsOf } from "./sweeps.ts";

export interface SensitivityOptions extends LayerSelection, StoreOptions {
  /** Techniques to try (default: all four). */
  readonly kinds?: readonly SensitivityKind[] | undefined;
  /** Change layers together if their names differ only in numbers, as in the blocks of a transformer (default: false). */
  readonly alike?: boolean | undefined;
  readonly minutes?: number | undefined;
  /** The model's file name in the result. */
  readonly name?: string;
  /** Number of samples per run (default: 64, fewer for large inputs, 1 if outputs depend on the batch). */
  readonly batch?: number | undefined;
  /** Name of the evaluated output (default: "logits", else the first float output). */
  readonly output?: string | undefined;
}

/**
 * Measures how much a model loses if individual layers are pruned, lose channels, are quantized, or factorized. The model is not changed.
 * @param task only its test samples and metric are used.
 * @throws PithError E_DATA for unsuitable data or a model at chance level, E_NAME for unknown layers, E_STOPPED on the context's signal.
 * @example
 * const losses = await sensitivity(model, { test: data, metric: accuracy() }, { kinds: ["prune"] });
 * const [row] = losses.rows.toSorted((a, b) => b.drop.value - a.drop.value);
 * console.log(row?.layers, row?.setting, row?.drop);
 */
export async function sensitivity(
  model: Model,
  task: Task,
  options: SensitivityOptions = {},
  partialContext: Partial<Context> = {},
): Promise<Sensitivity> {
  const startTime = performance.now();
  const context = completeContext(partialContext);
  const { metric, test } = task;
  const { kinds = sensitivityKinds, alike = false, minutes, name = "model", layers, except } = options;
  return withStore(model, options, async (store) => {
    const meter = await openDropMeter(store, model, task, options, context);
    const { units, misses } = await unitsOf(meter.model, kinds, alike, { layers, except }, meter.context);
    const measurements = units.flatMap((unit) => sweeps[unit.kind].settings.map((setting) => ({ unit, setting })));
    const rows = new Map<SweepMeasurement, SensitivityRow>();
    let open = 0;
    for (const [index, measurement] of orderMeasurements(measurements).entries()) {
      const { unit, setting } = measurement;
      const text = `${unit.layers[0]}, ${kindWords[unit.kind].text(setting)}`;
      throwIfAborted(context.signal, `Stopped before ${text}.`);
      context.progress(index, measurements.length, text);
      const isLate = minutes !== undefined && secondsSince(startTime) > 60 * minutes;
      const result = await meter.measure(measurement, isLate);
      if (result === undefined) open++;
      else if ("miss" in result) misses.push({ kind: unit.kind, ...result.miss });
      else rows.set(measurement, { ...unit, setting, ...result });
    }
    return {
      format: sensitivityFormatVersion,
      version,
      model: name,
      bytes: storedBytes(meter.model.graph),
      metric: { name: metric.name, unit: metric.unit, better: metric.better },
      original: meter.original,
      data: { name: test.name, count: test.count },
      seed: context.seed,
      rows: measurements.flatMap((measurement) => rows.get(measurement) ?? []),
      misses,
      open,
      seconds: secondsSince(startTime),
    };
  });
}

const firstLook = 128;

type MeasuredDrop =
  | Pick<SensitivityRow, "drop" | "saved" | "savedMacs">
  | { readonly miss: { readonly at: string | undefined; readonly reason: string } };

/** @throws PithError E_DATA if the data does not fit the model, or the original is at chance level. */
async function openDropMeter(
  store: Store,
  original: Model,
  task: Task,
  { batch, output }: SensitivityOptions,
  outerContext: Context,
) {
  // Logs each message once.
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
  const model = original.clone();
  storeWeights(model);
  const looks = Looks.drawSamples(model, task, { batch, output }, context, firstLook);
  const metrics = await looks.measureFirst();
  metrics.requireAnswers();
  metrics.requireAboveChance();
  const { rows } = metrics;
  const { original: estimate } = metrics.original.comparison;
  // A change of weights does not make outputs depend on the batch.
  const none = new Float64Array();
  const noRows = { ...rows, metricRows: none, answers: { predicted: none, labels: none } };
  const judging = await metricInputsOf(store, task, await recordSplits(task, []), { batch, output });
  const sharedKey = { sensitivity: { judging, seed: context.seed } };
  const before = macsPerSample(model);
  const resolution = defaultDrop(task.metric, estimate.value);
  const dropOf = ({ comparison }: PairedResult) => judge(comparison, { maxDrop: resolution }).drop;
  const measureChange = async ({ unit, setting }: SweepMeasurement): Promise<MeasuredDrop> => {
    const { kind, layers } = unit;
    const changedModel = model.clone();
    const changes = await applySetting(kind, layers, setting, changedModel, { ...context, log: () => {} });
    if (changes instanceof Miss)
      return { miss: { at: layers[0], reason: `${kindWords[kind].text(setting)}: ${changes.reason}` } };
    const after = macsPerSample(changedModel);
    const look = await looks.look(changedModel, (result) => isResolved(dropOf(result), resolution), undefined, noRows);
    const hasMacs = typeof before === "number" && typeof after === "number" && before > 0;
    return {
      drop: dropOf(look.compared),
      saved: await countSavedBytes(unit, model, changedModel),
      ...(hasMacs ? { savedMacs: 1 - after / before } : {}),
    };
  };
  /** Measures and stores the drop, or returns the stored one; undefined if it `isLate` and none is stored. */
  const measure = async (measurement: SweepMeasurement, isLate: boolean): Promise<MeasuredDrop | undefined> => {
    const { unit, setting } = measurement;
    const key = { ...sharedKey, kind: unit.kind, layers: unit.layers, setting };
    if (isLate) return (await store.records?.read(key)) as MeasuredDrop | undefined;
    return recordOnce(store.records, key, () => measureChange(measurement));
  };
  return { model, original: estimate, context, measure };
}
