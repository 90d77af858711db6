/**
 * Measures the sensitivity of each layer (`pith sensitivity`): changes only this layer, by one setting after another, and compares the model with the
 * original.
 *
 * Each measurement ends as soon as its samples determine the drop to ± one point, or to ± a quarter of the drop if that is more. Layers with coupled
 * channels are changed together.
 */
import { type Model, storedBytes, throwIfAborted } from "#ir";
import { type Context, completeContext, type LayerSelection } from "#pass";
import { version } from "../../core/version.ts";
import { type StoreOptions, withStore } from "../../judge/steps/store.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { type DropMeter, openDropMeter } from "./measuring.ts";
import {
  kindWords,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityFormatVersion,
  sensitivityKinds,
} from "./sensitivity-record.ts";
import { type Measurement, orderMeasurements, sweeps, unitsOf } from "./sweeps.ts";

export interface SensitivityOptions extends LayerSelection, StoreOptions {
  /** Techniques to try (default: all four). */
  readonly kinds?: readonly SensitivityKind[] | undefined;
  /** Change layers together if their names differ only in numbers, as in the blocks of a transformer (default: false). */
  readonly alike?: boolean | undefined;
  readonly minutes?: number | undefined;
  /** The model's file name in the result. */
  readonly name?: string;
  /** Number of samples per run (default: 64). */
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
  const started = performance.now();
  const context = completeContext(partialContext);
  return withStore(model, options, async (store) =>
    measureAll(await openDropMeter(store, model, task, options, context), task, options, context, started),
  );
}

async function measureAll(
  meter: DropMeter,
  { metric, test }: Task,
  { kinds = sensitivityKinds, alike = false, minutes, name = "model", layers, except }: SensitivityOptions,
  { signal, progress, seed }: Context,
  started: number,
): Promise<Sensitivity> {
  const { units, misses } = await unitsOf(meter.model, kinds, alike, { layers, except }, meter.context);
  const measurements = units.flatMap((unit) => sweeps[unit.kind].settings.map((setting) => ({ unit, setting })));
  const ordered = orderMeasurements(measurements);
  const rows = new Map<Measurement, SensitivityRow>();
  let open = 0;
  for (const [index, measurement] of ordered.entries()) {
    const { unit, setting } = measurement;
    throwIfAborted(signal, `Stopped before ${measurementText(measurement)}.`);
    progress(index, ordered.length, measurementText(measurement));
    const isLate = minutes !== undefined && secondsSince(started) > 60 * minutes;
    const result = await (isLate ? meter.readStored(measurement) : meter.measure(measurement));
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
    seed,
    rows: measurements.flatMap((measurement) => rows.get(measurement) ?? []),
    misses,
    open,
    seconds: secondsSince(started),
  };
}

const measurementText = ({ unit, setting }: Measurement): string =>
  `${unit.layers[0]}, ${kindWords[unit.kind].text(setting)}`;
