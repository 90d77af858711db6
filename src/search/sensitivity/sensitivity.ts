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
import { abortAfter, secondsSince } from "../../runtime/run/elapsed.ts";
import { type DropMeter, type DropOptions, openDropMeter } from "./measuring.ts";
import {
  kindWords,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityFormatVersion,
  sensitivityKinds,
} from "./sensitivity-record.ts";
import { type Measurement, orderMeasurements, sweeps, unitsOf } from "./sweeps.ts";

export interface SensitivityOptions extends LayerSelection, StoreOptions, Pick<DropOptions, "timed"> {
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
  /** Runs measurements in other processes, which call `measureIn` with the same `resumeFolder`. An aborted signal must end the function early. */
  readonly runAhead?: ((measurements: readonly Measurement[], signal: AbortSignal) => Promise<void>) | undefined;
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
  return withMeter(model, task, options, context, (meter) => fillTable(meter, task, options, context, started));
}

/** Runs measurements and stores their results in `resumeFolder` for a sweep with the same folder. @throws PithError as `sensitivity`. */
export async function measureIn(
  model: Model,
  task: Task,
  options: Pick<SensitivityOptions, "batch" | "output" | "timed"> & { readonly resumeFolder: string },
  measurements: readonly Measurement[],
  partialContext: Partial<Context> = {},
): Promise<void> {
  const context = completeContext(partialContext);
  await withMeter(model, task, options, context, async (meter) => {
    for (const measurement of measurements) {
      throwIfAborted(context.signal, `Stopped before ${measurementText(measurement)}.`);
      await meter.measure(measurement);
    }
  });
}

const withMeter = <T>(
  model: Model,
  task: Task,
  options: DropOptions & StoreOptions,
  context: Context,
  work: (meter: DropMeter) => Promise<T>,
): Promise<T> =>
  withStore(model, options, async (store) => {
    const { batch, output, timed } = options;
    return work(await openDropMeter(store, model, task, { batch, output, timed }, context));
  });

async function fillTable(
  meter: DropMeter,
  { metric, test }: Task,
  { kinds = sensitivityKinds, alike = false, minutes, name = "model", runAhead, layers, except }: SensitivityOptions,
  { signal, progress, seed }: Context,
  started: number,
): Promise<Sensitivity> {
  const { units, misses } = await unitsOf(meter.model, kinds, alike, { layers, except }, meter.context);
  const measurements = units.flatMap((unit) => sweeps[unit.kind].settings.map((setting) => ({ unit, setting })));
  const ordered = orderMeasurements(measurements);
  const secondsLeft = (): number =>
    minutes === undefined ? Number.POSITIVE_INFINITY : 60 * minutes - secondsSince(started);
  if (runAhead !== undefined) {
    const missing: Measurement[] = [];
    for (const measurement of ordered)
      if ((await meter.readStored(measurement)) === undefined) missing.push(measurement);
    if (missing.length > 0) {
      const timeLimit = new AbortController();
      const cancel = abortAfter(timeLimit, secondsLeft());
      await runAhead(missing, AbortSignal.any([signal, timeLimit.signal])).finally(cancel);
    }
    throwIfAborted(signal, "Stopped while layers were measured.");
  }
  const rows = new Map<Measurement, SensitivityRow>();
  let open = 0;
  for (const [index, measurement] of ordered.entries()) {
    const { unit, setting } = measurement;
    throwIfAborted(signal, `Stopped before ${measurementText(measurement)}.`);
    progress(index, ordered.length, measurementText(measurement));
    const isLate = secondsLeft() < 0;
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
