/**
 * What each layer can bear: every layer alone is pruned, cut, rounded or factorized, by one setting after the other, and what comes out is measured
 * beside the original on the same samples.
 *
 * Of each result no more samples are looked at than its drop takes to be known: to a point either way, or to a quarter of itself. Layers that can
 * only be cut together are one. The settings in the middle come first, for all layers, so that a sweep that ends early has measured the same of each.
 */
import { infer } from "../analysis/infer.ts";
import { allLayers, type Layer } from "../analysis/layers.ts";
import { Miss, PithError, stopIfAsked } from "../errors.ts";
import { answersWithNaN, type Estimate, judge, type Metric, type Task, usualDrop } from "../evaluate/index.ts";
import { storedBytes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Context, completeContext } from "../passes/index.ts";
import type { LayerSelection } from "../passes/options.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { zeroShare } from "../passes/zeros.ts";
import { isPruned, remove } from "../prune/index.ts";
import {
  kindWords,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityFormat,
  sensitivityKinds,
} from "../report/sensitivity.ts";
import { runStep } from "../run/step.ts";
import { modelDigest, openStore, type Store, type StoreOptions } from "../run/store.ts";
import { groupBy } from "../tensor/group-by.ts";
import { version } from "../version.ts";
import type { PairedResult } from "./paired-metrics.ts";
import { judgingOf, partsOf } from "./run-record.ts";
import { Looks } from "./sequential-test.ts";
import { applied, middleOf, optionsOf, sweeps } from "./sweeps.ts";
import { secondsSince } from "./variant.ts";

type SensitivityMiss = Sensitivity["misses"][number];

export interface SensitivityOptions extends LayerSelection, StoreOptions {
  /** What is tried on each layer (all four). */
  readonly kinds?: readonly SensitivityKind[] | undefined;
  /** Layers whose names differ in numbers only are changed together, as those of the blocks of a transformer (false). */
  readonly alike?: boolean | undefined;
  /** No measurement begins after so many. */
  readonly minutes?: number | undefined;
  /** What the result calls the model: its file's name. */
  readonly name?: string;
  /** Samples a run when measuring (64). */
  readonly batch?: number | undefined;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string | undefined;
}

/** Samples of the first look: enough for a drop of many points. */
const firstLook = 128;
/** By which a drop may be uncertain, as a share of itself. */
const uncertain = 1 / 4;

/** Layers that are changed together, by each setting of one kind. */
interface Unit {
  readonly kind: SensitivityKind;
  readonly layers: readonly string[];
  /** Of their weights. */
  readonly bytes: number;
}

/**
 * Measures what a model loses when single layers are pruned, lose channels, are rounded to fewer bits, or factorized. The model stays as it is.
 * @param task of which the test samples and the metric are used.
 * @throws PithError E_DATA if the data does not fit the model, or it does no better on it than chance; E_NAME for layers that there are not; E_STOPPED on
 * the context's signal.
 * @example
 * const found = await sensitivity(model, { test: data, metric: accuracy() }, { kinds: ["prune"] });
 * const [row] = found.rows.toSorted((a, b) => b.drop.value - a.drop.value);
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
  const store = await openStore(model, options);
  try {
    return await sweep(store, model, task, options, context, started);
  } finally {
    await store.release();
  }
}

async function sweep(
  store: Store,
  original: Model,
  task: Task,
  { kinds = sensitivityKinds, alike = false, minutes, name = "model", batch, output, ...selection }: SensitivityOptions,
  context: Context,
  started: number,
): Promise<Sensitivity> {
  const { metric, test } = task;
  // What passes and looks say is said once; of how far they are nothing: settings are counted.
  const said = new Set<string>();
  const inside: Context = {
    ...context,
    progress: () => {},
    log(event) {
      if (!said.has(event.text)) context.log(event);
      said.add(event.text);
    },
  };
  const model = original.clone();
  storeWeights(model);
  const looks = await Looks.create(model, task, { batch, output }, inside, inside, firstLook);
  requireFunction(looks, task);
  const judging = { judging: judgingOf(store, task, await partsOf(task, []), { batch, output }), seed: context.seed };
  const { layers, except } = selection;
  const { units, misses } = await unitsOf(model, kinds, alike, { layers, except }, inside);
  const found = new Map<Unit, Map<number, SensitivityRow>>(units.map((unit) => [unit, new Map()]));
  const steps = inOrder(units);
  let open = 0;
  for (const [at, { unit, setting }] of steps.entries()) {
    const what = `${unit.layers[0]}, ${kindWords[unit.kind].text(setting)}`;
    stopIfAsked(context.signal, `Stopped before ${what}.`);
    context.progress(at, steps.length, what);
    if (minutes !== undefined && secondsSince(started) > 60 * minutes) {
      open = steps.length - at;
      break;
    }
    const changed = await changedBy(unit, setting, model, inside);
    if (changed instanceof Miss) {
      misses.push({ kind: unit.kind, at: changed.at, reason: changed.reason });
      continue;
    }
    const drop = await dropOf(changed, looks, store, judging, metric);
    found.get(unit)?.set(setting, { ...unit, setting, drop, saved: await savedBy(unit, model, changed) });
  }
  return {
    format: sensitivityFormat,
    version,
    model: name,
    bytes: storedBytes(model.graph),
    metric: { name: metric.name, unit: metric.unit, better: metric.better },
    original: looks.first.original.comparison.original,
    data: { name: test.name, count: test.count },
    seed: context.seed,
    rows: units.flatMap((unit) => sweeps[unit.kind].settings.flatMap((setting) => found.get(unit)?.get(setting) ?? [])),
    misses,
    open,
    seconds: secondsSince(started),
  };
}

/** @throws PithError E_DATA where there is nothing to lose. */
function requireFunction({ first }: Looks, { metric }: Task): void {
  const { atChance, original } = first;
  const isBroken = answersWithNaN(metric, original.comparison.original);
  const text = isBroken ? "The original outputs NaN on some samples, or all." : atChance;
  if (text !== undefined)
    throw new PithError("E_DATA", `${text} Nothing was measured.`, {
      hint: "Preprocessing, labels or model do not match.",
    });
}

/** What is changed together, by kind: what the pass itself changes where it is given all that is asked for. */
async function unitsOf(
  model: Model,
  kinds: readonly SensitivityKind[],
  alike: boolean,
  selection: LayerSelection,
  context: Context,
): Promise<{ readonly units: readonly Unit[]; readonly misses: SensitivityMiss[] }> {
  const units: Unit[] = [];
  const misses: SensitivityMiss[] = [];
  const layers = allLayers(model, infer(model));
  const inGraph = [...new Set(layers.map(({ name }) => name))];
  for (const kind of kinds) {
    stopIfAsked(context.signal);
    const { pass, shared, own, widest, isCoupled } = sweeps[kind];
    const all = await runStep(pass, model.clone(), { ...shared, ...own(widest), ...selection }, {}, context);
    misses.push(...all.misses.map(({ at, reason }) => ({ kind, at, reason })));
    const left = new Set(all.changes.map(({ at }) => at));
    const groups: (readonly string[])[] = [];
    for (const name of inGraph.filter((layer) => left.has(layer))) {
      if (!left.has(name)) continue;
      const options = optionsOf(sweeps[kind], new Map([[name, widest]]));
      const { changes } = isCoupled ? await runStep(pass, model.clone(), options, {}, context) : { changes: [] };
      const together = changes.map(({ at }) => at);
      const group = inGraph.filter((layer) => layer === name || (left.has(layer) && together.includes(layer)));
      for (const layer of group) left.delete(layer);
      groups.push(group);
    }
    const likeness = alike
      ? ([name = ""]: readonly string[]) => name.replaceAll(/\d+/g, "*")
      : (group: readonly string[]) => group;
    for (const of of groupBy<readonly string[], unknown>(groups, likeness).values()) {
      const names = of.flat();
      units.push({ kind, layers: names, bytes: weightBytes(layers.filter(({ name }) => names.includes(name))) });
    }
  }
  return { units, misses };
}

/** Settings from the middle outwards, each of all layers. */
function inOrder(units: readonly Unit[]): readonly { readonly unit: Unit; readonly setting: number }[] {
  const ranks = units.flatMap((unit) => {
    const { settings } = sweeps[unit.kind];
    const middle = settings.indexOf(middleOf(unit.kind));
    return settings.map((setting, at) => ({ unit, setting, far: Math.abs(at - middle) }));
  });
  return ranks.toSorted((a, b) => a.far - b.far);
}

/** The model with these layers changed, or why it is not. */
async function changedBy(
  { kind, layers }: Unit,
  setting: number,
  original: Model,
  context: Context,
): Promise<Model | Miss> {
  const model = original.clone();
  const changes = await applied(kind, layers, setting, model, context);
  if (changes instanceof Miss) return new Miss(`${kindWords[kind].text(setting)}: ${changes.reason}`, layers[0]);
  if (isPruned(model)) await remove(model);
  return model;
}

/** Looked up, or measured: what was measured of a model is known by its content. */
async function dropOf(
  model: Model,
  looks: Looks,
  { records }: Store,
  judging: object,
  metric: Metric,
): Promise<Estimate> {
  const key = { ...judging, model: await modelDigest(model) };
  const known = (await records?.read(key)) as Estimate | undefined;
  if (known !== undefined) return known;
  const enough = usualDrop(metric, looks.first.original.comparison.original.value);
  const lost = ({ comparison }: PairedResult): Estimate => judge(comparison, { maxDrop: enough }).drop;
  const isSettled = (found: PairedResult): boolean => {
    const { value, low, high } = lost(found);
    return (high - low) / 2 <= Math.max(enough, uncertain * Math.abs(value));
  };
  const drop = lost(await looks.look(model, isSettled));
  await records?.write(key, drop);
  return drop;
}

async function savedBy({ kind, layers, bytes }: Unit, original: Model, changed: Model): Promise<number> {
  if (!sweeps[kind].storesZeros) return storedBytes(original.graph) - storedBytes(changed.graph);
  const zeros = async (model: Model): Promise<number> => {
    const weights = allLayers(model, infer(model)).flatMap(({ name, weight }) =>
      layers.includes(name) ? [weight] : [],
    );
    return (await zeroShare(new Set(weights))) ?? 0;
  };
  return Math.round(bytes * ((await zeros(changed)) - (await zeros(original))));
}

/** A tensor that several layers have is stored once. */
function weightBytes(layers: readonly Layer[]): number {
  const tensors = new Set(layers.flatMap(({ weight }) => weight.tensor ?? []));
  return [...tensors].reduce((sum, { bytes }) => sum + bytes, 0);
}
