/**
 * Turns a sensitivity sweep into a recipe: chooses a setting for each layer so that the model's cost meets a budget with minimum loss
 * (`core/math/allocate.ts`).
 *
 * The savings of layers do not add up, because a removed channel also saves weights in the next layer. So the cost of the whole changed model is
 * counted. A layer's loss is the upper end of the drop's interval, and the sum of the losses estimates the loss of the model.
 */
import { fixedMacs } from "#analysis";
import { groupBy, Miss, type Model, storedBytes, throwIfAborted } from "#ir";
import { type Context, completeContext } from "#pass";
import { allocations, type Item } from "../../core/math/allocate.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { recipeFrom } from "../../judge/recipe/check-recipe.ts";
import type { Recipe } from "../../judge/recipe/recipe.ts";
import { runStep } from "../../judge/steps/step.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { relativeTimer, shareOfTime } from "../../runtime/run/relative-time.ts";
import { countSavedBytes, foldMasksOfPruned } from "./measuring.ts";
import type { Sensitivity, SensitivityCost, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";
import { middleSettingOf, optionsOf, sweeps } from "./sweeps.ts";

export interface AllocationOptions {
  /** Share of the cost to keep (default: what remains with the middle setting on every layer: 40 % pruned, 4 bits, or half of the rank). */
  readonly budget?: number | undefined;
  /** Quantity that the budget limits (default: "bytes", where pruned weights do not count). "time" is processor time on one thread. */
  readonly cost?: SensitivityCost | undefined;
  /** Samples, of which the first one is timed (default: as `latency`). */
  readonly data?: Dataset | undefined;
}

export interface Allocation {
  /** Recipe with one step. Its `overrides` map each changed layer to its setting. */
  readonly recipe: Recipe;
  /** Chosen setting of each unit, the layers that change together. A setting that was not measured has the drop of the next harsher one. */
  readonly rows: readonly SensitivityRow[];
  /** Share of the cost that remains. It exceeds the budget if even the harshest settings do not suffice. */
  readonly share: number;
}

type Settings = ReadonlyMap<string, number>;

/**
 * Chooses settings from a sensitivity sweep.
 * @param original the measured model; it is not changed.
 * @returns undefined if no measured setting of the kind saves any of the cost.
 * @throws PithError E_UNSUPPORTED, E_ENGINE if the model cannot be timed, E_STOPPED on the context's signal.
 * @example
 * const losses = await sensitivity(model, { test: data, metric: accuracy() });
 * const allocation = await allocationFrom(model, losses, "bits", { budget: 0.2 });
 * if (allocation !== undefined) await runRecipe(model, allocation.recipe, { test: data, metric: accuracy() });
 */
export async function allocationFrom(
  original: Model,
  sensitivity: Pick<Sensitivity, "rows" | "bytes">,
  kind: SensitivityKind,
  { budget, cost = "bytes", data }: AllocationOptions = {},
  partialContext: Partial<Context> = {},
): Promise<Allocation | undefined> {
  const context: Context = { ...completeContext(partialContext), log: () => {}, progress: () => {} };
  const savingOf = ({ saved, savedMacs = 0, savedTime = 0 }: SensitivityRow): number =>
    ({ bytes: saved / sensitivity.bytes, macs: savedMacs, time: savedTime })[cost];
  const units = unitsOf(sensitivity.rows, kind, savingOf);
  if (units.length === 0) return undefined;
  const model = original.clone();
  storeWeights(model);
  const meter = await openMeter(model, kind, { cost, data }, units, context);
  const shares = new Map<string, number>();
  const shareOf = async (settings: Settings): Promise<number> => {
    const key = JSON.stringify([...settings]);
    const cached = shares.get(key);
    if (cached !== undefined) return cached;
    throwIfAborted(context.signal, "Stopped while settings were chosen.");
    const share = settings.size === 0 ? 1 : await meter.shareOf(await changeModel(model, kind, settings, context));
    shares.set(key, share);
    return share;
  };
  try {
    const maxShare = budget ?? (await shareOf(middleSettings(sensitivity.rows, kind)));
    const rows = await chooseWithinBudget(units, { kind, budget: maxShare, savingOf }, (chosenRows) =>
      shareOf(settingsOf(chosenRows)),
    );
    if (rows.length === 0) return undefined;
    const settings = settingsOf(rows);
    const step = { [sweeps[kind].pass.id]: optionsOf(sweeps[kind], settings) };
    return { recipe: recipeFrom({ steps: [step] }), rows, share: await shareOf(settings) };
  } finally {
    await meter.release?.();
  }
}

async function openMeter(
  original: Model,
  kind: SensitivityKind,
  { cost, data }: Pick<AllocationOptions, "cost" | "data">,
  units: readonly Unit[],
  context: Context,
): Promise<{
  /** Cost of the changed model relative to the original. */
  shareOf(result: Model): number | Promise<number>;
  release?(): Promise<void>;
}> {
  if (cost === "time") {
    const timer = await relativeTimer(original, context, data);
    return { shareOf: async (result) => shareOfTime(await timer.timePair(result)), release: () => timer.release() };
  }
  if (cost === "macs") {
    const totalMacs = Number(macsOf(original));
    return { shareOf: (result) => macsOf(result) / totalMacs };
  }
  const totalBytes = storedBytes(original.graph);
  const allUnits = {
    kind,
    layers: units.flatMap(([first]) => first?.row.layers ?? []),
    bytes: units.reduce((sum, [first]) => sum + (first?.row.bytes ?? 0), 0),
  };
  return { shareOf: async (result) => 1 - (await countSavedBytes(allUnits, original, result)) / totalBytes };
}

function macsOf(model: Model): number {
  const macs = fixedMacs(model);
  return macs instanceof Miss ? Number.NaN : macs;
}

interface Option {
  readonly row: SensitivityRow;
  readonly loss: number;
}

type Unit = readonly Option[];

function unitsOf(
  rows: readonly SensitivityRow[],
  kind: SensitivityKind,
  savingOf: (row: SensitivityRow) => number,
): readonly Unit[] {
  const savingRows = rows.filter((row) => row.kind === kind && savingOf(row) > 0 && Number.isFinite(row.drop.value));
  return [...groupBy(savingRows, ({ layers }) => JSON.stringify(layers)).values()].map((unit) => {
    let loss = Number.POSITIVE_INFINITY;
    // A setting is assumed to lose at most as much as a harsher one. If its measured drop is larger, the drop of the harsher one counts.
    const monotonic = unit.toReversed().map((row): Option => {
      loss = Math.min(loss, lossOf(row));
      return { row, loss };
    });
    return monotonic.toReversed();
  });
}

const lossOf = ({ drop: { value, high } }: SensitivityRow): number => Math.max(0, Number.isFinite(high) ? high : value);

type Choice = readonly (Option | undefined)[];

const rowsOf = (choice: Choice): readonly SensitivityRow[] => choice.flatMap((option) => option?.row ?? []);

interface Budget {
  readonly kind: SensitivityKind;
  readonly budget: number;
  savingOf(row: SensitivityRow): number;
}

/**
 * Returns one row per changed unit. Takes the first choice within the budget on the path from no change to the harshest settings. Then makes settings
 * of individual units milder while the budget allows.
 */
async function chooseWithinBudget(
  units: readonly Unit[],
  { kind, budget, savingOf }: Budget,
  shareOf: (rows: readonly SensitivityRow[]) => Promise<number>,
): Promise<readonly SensitivityRow[]> {
  const items = units.map(
    (options): Item<Option> => ({
      unchangedCost: 0,
      offers: options.map((option) => ({ cost: -savingOf(option.row), loss: option.loss, choice: option })),
    }),
  );
  const path = allocations(items).map((step): Choice => step.map((offer) => offer?.choice));
  const shareAt = (choice: Choice): Promise<number> => shareOf(rowsOf(choice));
  const fits = async (choice: Choice): Promise<boolean> => (await shareAt(choice)) <= budget;
  let [low, high] = [-1, path.length - 1];
  if (!(await fits(path[high] ?? []))) return rowsOf(path[high] ?? []);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(path[middle] ?? [])) high = middle;
    else low = middle;
  }
  const [choiceBefore, firstFitting] = [path[high - 1] ?? [], path[high] ?? []];
  const lastChangedUnit = firstFitting.findIndex((option, index) => option !== choiceBefore[index]);
  const byLoss = [...units.keys()].toSorted((a, b) => (firstFitting[b]?.loss ?? 0) - (firstFitting[a]?.loss ?? 0));
  const order = [lastChangedUnit, ...byLoss.filter((index) => index !== lastChangedUnit)];
  return rowsOf(await useSlack(units, firstFitting, { kind, budget, savingOf, order }, shareAt));
}

/** Minimum unused budget, as a share of the original's cost, at which continuous settings are still made milder. */
const minSlack = 0.02;

/**
 * Makes settings of units milder, or resets units to no change, while the budget allows. Channels are removed in blocks, so the chosen settings can
 * leave much of the budget unused.
 */
async function useSlack(
  units: readonly Unit[],
  choice: Choice,
  { kind, budget, savingOf, order }: Budget & { readonly order: readonly number[] },
  shareAt: (choice: Choice) => Promise<number>,
): Promise<Choice> {
  const { unchangedSetting } = sweeps[kind];
  const savingAt = (option: Option | undefined): number => (option === undefined ? 0 : savingOf(option.row));
  let chosen = choice;
  for (const index of order) {
    const slack = budget - (await shareAt(chosen));
    if (unchangedSetting !== undefined && index !== order[0] && slack < minSlack) break;
    const options = [undefined, ...(units[index] ?? [])];
    const baseChoice = chosen;
    const fits = async (option: Option | undefined): Promise<boolean> =>
      (await shareAt(baseChoice.with(index, option))) <= budget;
    for (const option of options.slice(0, options.indexOf(baseChoice[index]))) {
      // The savings of number formats add up. If a milder setting would cost more than the slack by this estimate, it is skipped without a count.
      if (unchangedSetting === undefined && savingAt(baseChoice[index]) - savingAt(option) > slack) continue;
      if (!(await fits(option))) continue;
      chosen = baseChoice.with(index, option);
      break;
    }
    const harsh = chosen[index];
    if (unchangedSetting === undefined || harsh === undefined) continue;
    const milderSetting = options[options.indexOf(harsh) - 1]?.row.setting ?? unchangedSetting;
    chosen = chosen.with(index, await findMildest(harsh, milderSetting, fits));
  }
  return chosen;
}

const halvings = 5;

async function findMildest(harsh: Option, mild: number, fits: (option: Option) => Promise<boolean>): Promise<Option> {
  let [mildestOption, tooMild] = [harsh, mild];
  for (let step = 0; step < halvings; step++) {
    const setting = Math.round(500 * (mildestOption.row.setting + tooMild)) / 1000;
    const middle = { ...harsh, row: { ...harsh.row, setting } };
    if (await fits(middle)) mildestOption = middle;
    else tooMild = setting;
  }
  return mildestOption;
}

const settingsOf = (rows: readonly SensitivityRow[]): Settings =>
  new Map(rows.flatMap(({ layers, setting }) => layers.map((layer) => [layer, setting] as const)));

const middleSettings = (rows: readonly SensitivityRow[], kind: SensitivityKind): Settings =>
  settingsOf(rows.filter((row) => row.kind === kind && row.setting === middleSettingOf(kind)));

async function changeModel(
  original: Model,
  kind: SensitivityKind,
  settings: Settings,
  context: Context,
): Promise<Model> {
  const model = original.clone();
  await runStep(sweeps[kind].pass, model, optionsOf(sweeps[kind], settings), {}, context);
  await foldMasksOfPruned(model);
  return model;
}
