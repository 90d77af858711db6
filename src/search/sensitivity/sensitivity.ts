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
import { type Store, type StoreOptions, withStore } from "../../judge/steps/store.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { abortAfter, secondsSince } from "../../runtime/run/elapsed.ts";
import { Measuring, type SweepCosts } from "./measuring.ts";
import {
  kindWords,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityFormatVersion,
  sensitivityKinds,
} from "./sensitivity-record.ts";
import { type Measurement, orderMeasurements, sweeps, type Unit, unitsOf } from "./sweeps.ts";

export interface SensitivityOptions extends LayerSelection, StoreOptions, SweepCosts {
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

export interface SweepOptions extends SensitivityOptions {
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
  return sweep(model, task, options, partialContext);
}

export function sweep(
  model: Model,
  task: Task,
  options: SweepOptions,
  partialContext: Partial<Context>,
): Promise<Sensitivity> {
  const started = performance.now();
  return withStore(model, options, (store) =>
    sweepIn(store, model, task, options, completeContext(partialContext), started),
  );
}

/** Runs measurements and stores their results in `resumeFolder` for a sweep with the same folder. @throws PithError as `sensitivity`. */
export async function measureIn(
  model: Model,
  task: Task,
  options: Pick<SensitivityOptions, "batch" | "output" | "bucket" | "timed"> & { readonly resumeFolder: string },
  measurements: readonly Measurement[],
  partialContext: Partial<Context> = {},
): Promise<void> {
  const context = quietContext(completeContext(partialContext));
  const { batch, output, timed } = options;
  await withStore(model, options, async (store) => {
    const measuring = await Measuring.open(store, model, task, { batch, output, timed }, context);
    for (const measurement of measurements) {
      throwIfAborted(context.signal, `Stopped before ${measurementText(measurement)}.`);
      if ((await measuring.readStored(measurement)) === undefined) await measuring.measure(measurement);
    }
  });
}

async function sweepIn(
  store: Store,
  original: Model,
  task: Task,
  options: SweepOptions,
  context: Context,
  started: number,
): Promise<Sensitivity> {
  const { kinds = sensitivityKinds, alike = false, minutes, name = "model", batch, output, timed, runAhead } = options;
  const { layers, except } = options;
  const { metric, test } = task;
  const quiet = quietContext(context);
  const measuring = await Measuring.open(store, original, task, { batch, output, timed }, quiet);
  const { model } = measuring;
  const { units, misses } = await unitsOf(model, kinds, alike, { layers, except }, quiet);
  const rowsByUnit = new Map<Unit, Map<number, SensitivityRow>>(units.map((unit) => [unit, new Map()]));
  const measurements = orderMeasurements(units);
  const secondsLeft = (): number =>
    minutes === undefined ? Number.POSITIVE_INFINITY : 60 * minutes - secondsSince(started);
  if (runAhead !== undefined) await measureAhead(runAhead, measuring, measurements, secondsLeft(), context);
  let unmeasured = 0;
  for (const [index, measurement] of measurements.entries()) {
    const { unit, setting } = measurement;
    throwIfAborted(context.signal, `Stopped before ${measurementText(measurement)}.`);
    context.progress(index, measurements.length, measurementText(measurement));
    const storedResult = await measuring.readStored(measurement);
    if (storedResult === undefined && secondsLeft() < 0) {
      unmeasured++;
      continue;
    }
    const result = storedResult ?? (await measuring.measure(measurement));
    if ("miss" in result) misses.push({ kind: unit.kind, ...result.miss });
    else rowsByUnit.get(unit)?.set(setting, { ...unit, setting, ...result });
  }
  return {
    format: sensitivityFormatVersion,
    version,
    model: name,
    bytes: storedBytes(model.graph),
    metric: { name: metric.name, unit: metric.unit, better: metric.better },
    original: measuring.original,
    data: { name: test.name, count: test.count },
    seed: context.seed,
    rows: units.flatMap((unit) =>
      sweeps[unit.kind].settings.flatMap((setting) => rowsByUnit.get(unit)?.get(setting) ?? []),
    ),
    misses,
    open: unmeasured,
    seconds: secondsSince(started),
  };
}

async function measureAhead(
  runAhead: NonNullable<SweepOptions["runAhead"]>,
  measuring: Measuring,
  measurements: readonly Measurement[],
  seconds: number,
  { signal }: Context,
): Promise<void> {
  const missingMeasurements: Measurement[] = [];
  for (const measurement of measurements)
    if ((await measuring.readStored(measurement)) === undefined) missingMeasurements.push(measurement);
  if (missingMeasurements.length === 0) return;
  const timeLimit = new AbortController();
  const cancel = abortAfter(timeLimit, seconds);
  await runAhead(missingMeasurements, AbortSignal.any([signal, timeLimit.signal])).finally(cancel);
  throwIfAborted(signal, "Stopped while layers were measured.");
}

/** Returns a context that logs each message once and hides progress, because the sweep itself reports the number of measurements. */
function quietContext(context: Context): Context {
  const loggedTexts = new Set<string>();
  return {
    ...context,
    progress: () => {},
    log(event) {
      if (!loggedTexts.has(event.text)) context.log(event);
      loggedTexts.add(event.text);
    },
  };
}

const measurementText = ({ unit, setting }: Measurement): string =>
  `${unit.layers[0]}, ${kindWords[unit.kind].text(setting)}`;
