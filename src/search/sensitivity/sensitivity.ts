/**
 * Measures the sensitivity of each layer: changes only this layer, by one setting after another, and compares the model with the original.
 *
 * Each measurement stops as soon as its samples determine the drop to one point, or to a quarter of its value if that is more. Layers that can only
 * be pruned together are changed together.
 */
import { throwIfAborted } from "../../core/errors.ts";
import { storedBytes } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { LayerSelection } from "../../core/pass/options.ts";
import { type Context, completeContext } from "../../core/pass/pass.ts";
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
  /** Measures in other processes, which call `measureIn` with the same `resumeFolder`. It must end early if the signal is aborted. */
  readonly ahead?: ((measurements: readonly Measurement[], signal: AbortSignal) => Promise<void>) | undefined;
}

/**
 * Measures how much a model loses if individual layers are pruned, lose channels, are quantized, or factorized. The model is not changed.
 * @param task its test samples and metric are used.
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

/** Measures and stores the results in `resumeFolder`, where a sweep with the same folder finds them. @throws PithError as `sensitivity`. */
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
  const { kinds = sensitivityKinds, alike = false, minutes, name = "model", batch, output, timed, ahead } = options;
  const { layers, except } = options;
  const { metric, test } = task;
  const inside = quietContext(context);
  const measuring = await Measuring.open(store, original, task, { batch, output, timed }, inside);
  const { model } = measuring;
  const { units, misses } = await unitsOf(model, kinds, alike, { layers, except }, inside);
  const rowsByUnit = new Map<Unit, Map<number, SensitivityRow>>(units.map((unit) => [unit, new Map()]));
  const all = orderMeasurements(units);
  const secondsLeft = (): number =>
    minutes === undefined ? Number.POSITIVE_INFINITY : 60 * minutes - secondsSince(started);
  if (ahead !== undefined) await measureAhead(ahead, measuring, all, secondsLeft(), context);
  let unmeasured = 0;
  for (const [index, measurement] of all.entries()) {
    const { unit, setting } = measurement;
    throwIfAborted(context.signal, `Stopped before ${measurementText(measurement)}.`);
    context.progress(index, all.length, measurementText(measurement));
    const stored = await measuring.readStored(measurement);
    if (stored === undefined && secondsLeft() < 0) {
      unmeasured++;
      continue;
    }
    const measured = stored ?? (await measuring.measure(measurement));
    if ("miss" in measured) misses.push({ kind: unit.kind, ...measured.miss });
    else rowsByUnit.get(unit)?.set(setting, { ...unit, setting, ...measured });
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
  ahead: NonNullable<SweepOptions["ahead"]>,
  measuring: Measuring,
  all: readonly Measurement[],
  seconds: number,
  { signal }: Context,
): Promise<void> {
  const missingMeasurements: Measurement[] = [];
  for (const measurement of all)
    if ((await measuring.readStored(measurement)) === undefined) missingMeasurements.push(measurement);
  if (missingMeasurements.length === 0) return;
  const timeLimit = new AbortController();
  const cancel = abortAfter(timeLimit, seconds);
  await ahead(missingMeasurements, AbortSignal.any([signal, timeLimit.signal])).finally(cancel);
  throwIfAborted(signal, "Stopped while layers were measured.");
}

/** Logs each message once and hides progress, because the command counts measurements. */
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
