/**
 * A setting for each layer, so that the whole model costs no more than a budget and the layers lose least (`math/allocate.ts`).
 *
 * Neighboring layers share what they save, so the savings of single layers do not add up. The settings are applied to the whole model, and its cost is counted.
 * The loss of a layer is the upper end of its interval: of two layers that seem to lose nothing, the one whose outputs changed more counts as dearer. Losses of
 * several layers are added up, which is an estimate; the recipe's result is measured like any other.
 */
import { fixedMacs } from "../analysis/fixed-macs.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { relativeTimer } from "../evaluate/relative-time.ts";
import { storedBytes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { allocations, type Item } from "../math/allocate.ts";
import { type Context, completeContext } from "../passes/index.ts";
import { storeWeights } from "../passes/store-constants.ts";
import type { Sensitivity, SensitivityCost, SensitivityKind, SensitivityRow } from "../report/sensitivity.ts";
import { runStep } from "../run/step.ts";
import { groupBy } from "../tensor/group-by.ts";
import { foldPruned, savedBy } from "./measuring.ts";
import { type Recipe, recipeFrom } from "./recipe.ts";
import { middleOf, optionsOf, sweeps } from "./sweeps.ts";

export interface AllocationOptions {
  /** Share of the cost that may be left (what the setting in the middle leaves on every layer: 40 % pruned, 4 bits, half of the rank). */
  readonly budget?: number | undefined;
  /** What the budget is a share of ("bytes"): of the stored numbers, single weights that are zero left out. "time" is processor time on one thread. */
  readonly cost?: SensitivityCost | undefined;
}

export interface Allocation {
  /** One step, whose `overrides` give each layer its setting; layers without one stay as they are. */
  readonly recipe: Recipe;
  /** The setting of layers that go together. Of one that was not measured, the drop is that of the next harsher setting. */
  readonly rows: readonly SensitivityRow[];
  /** Share of the cost that the whole model is left with: more than the budget if the harshest settings leave more. */
  readonly share: number;
}

type Settings = ReadonlyMap<string, number>;

/**
 * @param original the model that was measured; it stays as it is.
 * @returns undefined if no setting of the kind was measured that saves any of the cost.
 * @throws PithError E_UNSUPPORTED, E_ENGINE if the model cannot be timed, E_STOPPED on the context's signal.
 * @example
 * const found = await sensitivity(model, { test: data, metric: accuracy() });
 * const allocation = await allocationFrom(model, found, "bits", { budget: 0.2 });
 * if (allocation !== undefined) await runRecipe(model, allocation.recipe, { test: data, metric: accuracy() });
 */
export async function allocationFrom(
  original: Model,
  found: Pick<Sensitivity, "rows" | "bytes">,
  kind: SensitivityKind,
  { budget, cost = "bytes" }: AllocationOptions = {},
  partialContext: Partial<Context> = {},
): Promise<Allocation | undefined> {
  const context: Context = { ...completeContext(partialContext), log: () => {}, progress: () => {} };
  const savingOf = (row: SensitivityRow): number => savedShare(row, cost, found.bytes);
  const units = unitsOf(found.rows, kind, savingOf);
  if (units.length === 0) return undefined;
  const model = original.clone();
  storeWeights(model);
  const meter = await openMeter(model, kind, cost, units, context);
  const shares = new Map<string, number>();
  const shareOf = async (settings: Settings): Promise<number> => {
    const key = JSON.stringify([...settings]);
    const known = shares.get(key);
    if (known !== undefined) return known;
    stopIfAsked(context.signal, "Stopped while settings were chosen.");
    const share = settings.size === 0 ? 1 : await meter.shareOf(await changed(model, kind, settings, context));
    shares.set(key, share);
    return share;
  };
  try {
    const allowed = budget ?? (await shareOf(middleOfEach(found.rows, kind)));
    const rows = await withinBudget(units, { kind, budget: allowed, savingOf }, (some) => shareOf(settingsOf(some)));
    if (rows.length === 0) return undefined;
    const settings = settingsOf(rows);
    const step = { [sweeps[kind].pass.id]: optionsOf(sweeps[kind], settings) };
    return { recipe: recipeFrom({ steps: [step] }), rows, share: await shareOf(settings) };
  } finally {
    await meter.release?.();
  }
}

interface Meter {
  /** What the changed model costs, as a share of what the original does. */
  shareOf(changed: Model): number | Promise<number>;
  release?(): Promise<void>;
}

async function openMeter(
  original: Model,
  kind: SensitivityKind,
  cost: SensitivityCost,
  units: readonly Unit[],
  context: Context,
): Promise<Meter> {
  if (cost === "time") {
    const timer = await relativeTimer(original, context);
    return { shareOf: (changed) => timer.of(changed), release: () => timer.release() };
  }
  if (cost === "macs") {
    const whole = Number(macsOf(original));
    return { shareOf: (changed) => macsOf(changed) / whole };
  }
  const whole = storedBytes(original.graph);
  const all = {
    kind,
    layers: units.flatMap(([first]) => first?.row.layers ?? []),
    bytes: units.reduce((sum, [first]) => sum + (first?.row.bytes ?? 0), 0),
  };
  return { shareOf: async (changed) => 1 - (await savedBy(all, original, changed)) / whole };
}

/** Rows exist only for models whose operations can be counted. */
function macsOf(model: Model): number {
  const macs = fixedMacs(model);
  return macs instanceof Miss ? Number.NaN : macs;
}

/** A setting of layers that change together. */
interface Option {
  readonly row: SensitivityRow;
  readonly loss: number;
}

/** From the mildest setting to the harshest. */
type Unit = readonly Option[];

/** Those that save some of the cost. */
function unitsOf(
  rows: readonly SensitivityRow[],
  kind: SensitivityKind,
  savingOf: (row: SensitivityRow) => number,
): readonly Unit[] {
  const useful = rows.filter((row) => row.kind === kind && savingOf(row) > 0 && Number.isFinite(row.drop.value));
  return [...groupBy(useful, ({ layers }) => JSON.stringify(layers)).values()].map((unit) => {
    let loss = Number.POSITIVE_INFINITY;
    // A setting loses no more than a harsher one.
    const falling = unit.toReversed().map((row): Option => {
      loss = Math.min(loss, lossOf(row));
      return { row, loss };
    });
    return falling.toReversed();
  });
}

const lossOf = ({ drop: { value, high } }: SensitivityRow): number => Math.max(0, Number.isFinite(high) ? high : value);

/** What the setting alone saves, as a share of the model's cost. */
function savedShare(
  { saved, savedMacs = 0, savedTime = 0 }: SensitivityRow,
  cost: SensitivityCost,
  bytes: number,
): number {
  return { bytes: saved / bytes, macs: savedMacs, time: savedTime }[cost];
}

/** An option for each unit, undefined for units that stay as they are. */
type Choice = readonly (Option | undefined)[];

const rowsOf = (choice: Choice): readonly SensitivityRow[] => choice.flatMap((option) => option?.row ?? []);

interface Budget {
  readonly kind: SensitivityKind;
  readonly budget: number;
  /** What the setting of a row saves if it is the only change. */
  savingOf(row: SensitivityRow): number;
}

/** The first choice on the way to the harshest settings that is within the budget; what it leaves of the budget is given back. */
async function withinBudget(
  units: readonly Unit[],
  { kind, budget, savingOf }: Budget,
  shareOf: (rows: readonly SensitivityRow[]) => Promise<number>,
): Promise<readonly SensitivityRow[]> {
  const items = units.map(
    (options): Item<Option> => ({
      whole: 0,
      offers: options.map((option) => ({ cost: -savingOf(option.row), loss: option.loss, choice: option })),
    }),
  );
  const path = allocations(items).map((taken): Choice => taken.map((offer) => offer?.choice));
  const shareAt = (choice: Choice): Promise<number> => shareOf(rowsOf(choice));
  const fits = async (choice: Choice): Promise<boolean> => (await shareAt(choice)) <= budget;
  let [low, high] = [-1, path.length - 1];
  if (!(await fits(path[high] ?? []))) return rowsOf(path[high] ?? []);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(path[middle] ?? [])) high = middle;
    else low = middle;
  }
  const [before, after] = [path[high - 1] ?? [], path[high] ?? []];
  const last = after.findIndex((option, at) => option !== before[at]);
  const { none } = sweeps[kind];
  const harsh = after[last];
  if (none === undefined) return rowsOf(await givenBack(units, after, { budget, savingOf }, shareAt));
  if (harsh === undefined) return rowsOf(after);
  const mild = before[last]?.row.setting ?? none;
  return rowsOf(after.with(last, await mildest(harsh, mild, (option) => fits(after.with(last, option)))));
}

/** Halvings of the range between two settings. */
const halvings = 5;

/** The mildest setting that fits, between one that does not and that of an option that does. */
async function mildest(harsh: Option, mild: number, fits: (option: Option) => Promise<boolean>): Promise<Option> {
  let [found, tooMild] = [harsh, mild];
  for (let step = 0; step < halvings; step++) {
    const setting = Math.round(500 * (found.row.setting + tooMild)) / 1000;
    const middle = { ...harsh, row: { ...harsh.row, setting } };
    if (await fits(middle)) found = middle;
    else tooMild = setting;
  }
  return found;
}

/** Milder settings, as far as the choice still fits: first for units that lose most. What they cost is estimated before it is counted. */
async function givenBack(
  units: readonly Unit[],
  choice: Choice,
  { budget, savingOf }: Pick<Budget, "budget" | "savingOf">,
  shareAt: (choice: Choice) => Promise<number>,
): Promise<Choice> {
  let [found, share] = [choice, await shareAt(choice)];
  const savedAt = (option: Option | undefined): number => (option === undefined ? 0 : savingOf(option.row));
  const lossAt = (at: number): number => choice[at]?.loss ?? 0;
  for (const at of [...units.keys()].toSorted((a, b) => lossAt(b) - lossAt(a)))
    for (const option of [undefined, ...(units[at] ?? [])]) {
      const returned = savedAt(found[at]) - savedAt(option);
      if (returned <= 0 || share + returned > budget) continue;
      const milder = found.with(at, option);
      const milderShare = await shareAt(milder);
      if (milderShare > budget) continue;
      [found, share] = [milder, milderShare];
      break;
    }
  return found;
}

const settingsOf = (rows: readonly SensitivityRow[]): Settings =>
  new Map(rows.flatMap(({ layers, setting }) => layers.map((layer) => [layer, setting] as const)));

/** The setting that is tried first, on each layer that it was measured on. */
const middleOfEach = (rows: readonly SensitivityRow[], kind: SensitivityKind): Settings =>
  settingsOf(rows.filter((row) => row.kind === kind && row.setting === middleOf(kind)));

async function changed(original: Model, kind: SensitivityKind, settings: Settings, context: Context): Promise<Model> {
  const model = original.clone();
  await runStep(sweeps[kind].pass, model, optionsOf(sweeps[kind], settings), {}, context);
  await foldPruned(model);
  return model;
}
