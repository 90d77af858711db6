/**
 * Measures the sensitivity of each layer: it alone is changed by one setting after the other, and the model compared with the original.
 *
 * Each measurement uses as few samples as determine the drop to a point or a quarter of itself. Layers that must be pruned together are one unit.
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
  sensitivityFormat,
  sensitivityKinds,
} from "./sensitivity-record.ts";
import { inOrder, type Measurement, sweeps, type Unit, unitsOf } from "./sweeps.ts";

export interface SensitivityOptions extends LayerSelection, StoreOptions, SweepCosts {
  /** Techniques to try (all four). */
  readonly kinds?: readonly SensitivityKind[] | undefined;
  /** Change layers together if their names differ only in numbers, as in the blocks of a transformer (false). */
  readonly alike?: boolean | undefined;
  readonly minutes?: number | undefined;
  /** The model's file name in the result. */
  readonly name?: string;
  /** Samples per run when measuring (64). */
  readonly batch?: number | undefined;
  /** The evaluated output: "logits", else the first float output. */
  readonly output?: string | undefined;
}

export interface SweepOptions extends SensitivityOptions {
  /** Makes measurements in other processes, by `measureIn` with the same `resumeFolder`. Ends early on the signal. */
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

/** Stores measurements in `resumeFolder`, where a sweep with the same folder finds them. @throws PithError as `sensitivity`. */
export async function measureIn(
  model: Model,
  task: Task,
  options: Pick<SensitivityOptions, "batch" | "output" | "bucket" | "timed"> & { readonly resumeFolder: string },
  measurements: readonly Measurement[],
  partialContext: Partial<Context> = {},
): Promise<void> {
  const context = quietly(completeContext(partialContext));
  const { batch, output, timed } = options;
  await withStore(model, options, async (store) => {
    const measuring = await Measuring.open(store, model, task, { batch, output, timed }, context);
    for (const measurement of measurements) {
      throwIfAborted(context.signal, `Stopped before ${wordsOf(measurement)}.`);
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
  const inside = quietly(context);
  const measuring = await Measuring.open(store, original, task, { batch, output, timed }, inside);
  const { model } = measuring;
  const { units, misses } = await unitsOf(model, kinds, alike, { layers, except }, inside);
  const rowsByUnit = new Map<Unit, Map<number, SensitivityRow>>(units.map((unit) => [unit, new Map()]));
  const all = inOrder(units);
  const secondsLeft = (): number =>
    minutes === undefined ? Number.POSITIVE_INFINITY : 60 * minutes - secondsSince(started);
  if (ahead !== undefined) await measuredAhead(ahead, measuring, all, secondsLeft(), context);
  let open = 0;
  for (const [index, measurement] of all.entries()) {
    const { unit, setting } = measurement;
    throwIfAborted(context.signal, `Stopped before ${wordsOf(measurement)}.`);
    context.progress(index, all.length, wordsOf(measurement));
    const stored = await measuring.readStored(measurement);
    if (stored === undefined && secondsLeft() < 0) {
      open++;
      continue;
    }
    const measured = stored ?? (await measuring.measure(measurement));
    if ("miss" in measured) misses.push({ kind: unit.kind, ...measured.miss });
    else rowsByUnit.get(unit)?.set(setting, { ...unit, setting, ...measured });
  }
  return {
    format: sensitivityFormat,
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
    open,
    seconds: secondsSince(started),
  };
}

async function measuredAhead(
  ahead: NonNullable<SweepOptions["ahead"]>,
  measuring: Measuring,
  all: readonly Measurement[],
  seconds: number,
  { signal }: Context,
): Promise<void> {
  const missing: Measurement[] = [];
  for (const measurement of all) if ((await measuring.readStored(measurement)) === undefined) missing.push(measurement);
  if (missing.length === 0) return;
  const late = new AbortController();
  const cancel = abortAfter(late, seconds);
  await ahead(missing, AbortSignal.any([signal, late.signal])).finally(cancel);
  throwIfAborted(signal, "Stopped while layers were measured.");
}

/** Logs each message once and hides progress, because the command counts measurements. */
function quietly(context: Context): Context {
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

const wordsOf = ({ unit, setting }: Measurement): string => `${unit.layers[0]}, ${kindWords[unit.kind].text(setting)}`;
