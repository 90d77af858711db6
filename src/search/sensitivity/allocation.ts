/**
 * Turns a sensitivity sweep into a recipe with minimum loss within a budget. Savings of layers do not add up, because a removed channel also saves
 * weights in the next layer, so the cost of the changed model is counted.
 */
import { macsPerSample } from "#analysis";
import { getOrAdd, groupBy, type Model, storedBytes, throwIfAborted } from "#ir";
import { type Context, completeContext } from "#pass";
import { allocateMeasured, type Item } from "../../core/math/allocate.ts";
import { recipeFrom } from "../../judge/recipe/check-recipe.ts";
import type { Recipe } from "../../judge/recipe/recipe.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import type { Sensitivity, SensitivityCost, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";
import { applySettings, countSavedBytes, type LayerSettings, middleSettingOf, optionsOf, sweeps } from "./sweeps.ts";

export interface AllocationOptions {
  /** Share of the cost to keep (default: what remains with the middle setting on every layer: 40 % pruned, 4 bits, or half of the weights by low rank). */
  readonly budget?: number | undefined;
  /** Quantity that the budget limits (default: "bytes", where pruned weights do not count). */
  readonly cost?: SensitivityCost | undefined;
}

export interface Allocation {
  /** Recipe with one step. Its `overrides` map each changed layer to its setting. */
  readonly recipe: Recipe;
  /** Chosen setting of each unit, the layers that change together. A setting that was not measured has the drop of the next harsher one. */
  readonly rows: readonly SensitivityRow[];
  /** Share of the cost that remains. It exceeds the budget if even the harshest settings do not suffice. */
  readonly share: number;
}

/**
 * Chooses settings from a sensitivity sweep.
 * @param original the measured model; it is not changed.
 * @returns undefined if no measured setting of the kind saves any of the cost, or if the budget needs no change.
 * @throws PithError E_STOPPED on the context's signal.
 * @example
 * const losses = await sensitivity(model, { test: data, metric: accuracy() });
 * const allocation = await allocationFrom(model, losses, "bits", { budget: 0.2 });
 * if (allocation !== undefined) await runRecipe(model, allocation.recipe, { test: data, metric: accuracy() });
 */
export async function allocationFrom(
  original: Model,
  sensitivity: Pick<Sensitivity, "rows" | "bytes">,
  kind: SensitivityKind,
  { budget, cost = "bytes" }: AllocationOptions = {},
  partialContext: Partial<Context> = {},
): Promise<Allocation | undefined> {
  const context: Context = { ...completeContext(partialContext), log: () => {}, progress: () => {} };
  const savingOf = ({ saved, savedMacs = 0 }: SensitivityRow): number =>
    cost === "macs" ? savedMacs : saved / sensitivity.bytes;
  const items = itemsOf(sensitivity.rows, kind, savingOf);
  if (items.length === 0) return undefined;
  const model = original.clone();
  storeWeights(model);
  const firstRows = items.flatMap(({ offers: [first] }) => first?.choice ?? []);
  const layers = firstRows.flatMap((row) => row.layers);
  const unit = { kind, layers, bytes: firstRows.reduce((sum, { bytes }) => sum + bytes, 0) };
  const shares = new Map<string, Promise<number>>();
  const shareOf = (rows: readonly SensitivityRow[]): Promise<number> =>
    getOrAdd(shares, JSON.stringify([...settingsOf(rows)]), () => countShare(settingsOf(rows)));
  const countShare = async (settings: LayerSettings): Promise<number> => {
    throwIfAborted(context.signal, "Stopped while settings were chosen.");
    if (settings.size === 0) return 1;
    const changedModel = model.clone();
    await applySettings(kind, settings, changedModel, context);
    if (cost === "macs") return Number(macsPerSample(changedModel)) / Number(macsPerSample(model));
    return 1 - (await countSavedBytes(unit, model, changedModel)) / storedBytes(model.graph);
  };
  const isMiddle = (row: SensitivityRow): boolean => row.kind === kind && row.setting === middleSettingOf(kind);
  const maxShare = budget ?? (await shareOf(sensitivity.rows.filter(isMiddle)));
  const limits = { fixed: 1, attempts: maxChoices, slack: minSlack };
  let choice = await allocateMeasured(items, maxShare, limits, async (offers) => {
    const rows = offers.flatMap((offer) => offer?.choice ?? []);
    return { rows, cost: await shareOf(rows) };
  });
  // Channels are removed in blocks, so much of the budget can be unused.
  for (const { layers, drop } of choice.rows) {
    if (maxShare - choice.cost < minSlack) break;
    const isOfUnit = (row: SensitivityRow): boolean => row.kind === kind && row.layers[0] === layers[0];
    const milderRows = sensitivity.rows.filter((row) => isOfUnit(row) && row.drop.value < drop.value);
    for (const milder of [[], ...milderRows.map((row) => [row])]) {
      const rows = choice.rows.flatMap((row) => (isOfUnit(row) ? milder : [row]));
      const cost = await shareOf(rows);
      if (cost > maxShare || cost <= choice.cost) continue;
      choice = { rows, cost };
      break;
    }
  }
  const { rows, cost: share } = choice;
  if (rows.length === 0) return undefined;
  const step = { [sweeps[kind].pass.id]: optionsOf(kind, settingsOf(rows)) };
  return { recipe: recipeFrom({ steps: [step] }), rows, share };
}

/** Maximum number of choices that are counted before milder settings, and the unused share of the cost at which no other is tried. */
const [maxChoices, minSlack] = [8, 0.02];
/** Number of parts into which the settings between two measured ones are divided. */
const parts = 16;

/** Settings between two measured ones have interpolated losses and savings. */
function itemsOf(
  rows: readonly SensitivityRow[],
  kind: SensitivityKind,
  savingOf: (row: SensitivityRow) => number,
): readonly Item<SensitivityRow>[] {
  const { unchangedSetting } = sweeps[kind];
  const savingRows = rows.filter((row) => row.kind === kind && savingOf(row) > 0 && Number.isFinite(row.drop.value));
  return [...groupBy(savingRows, ({ layers }) => JSON.stringify(layers)).values()].map((unit) => {
    let from = { setting: unchangedSetting ?? 0, loss: 0, cost: 0 };
    const offers = unit.flatMap((row, index) => {
      // A setting is assumed to lose at most as much as a harsher one.
      const to = { setting: row.setting, loss: Math.min(...unit.slice(index).map(lossOf)), cost: -savingOf(row) };
      const [start, count] = unchangedSetting === undefined ? [to, 1] : [from, parts];
      from = to;
      return Array.from({ length: count }, (_, part) => {
        const mix = (key: "setting" | "loss" | "cost"): number =>
          start[key] + ((to[key] - start[key]) * (part + 1)) / count;
        return {
          choice: { ...row, setting: Math.round(1000 * mix("setting")) / 1000 },
          loss: mix("loss"),
          cost: mix("cost"),
        };
      });
    });
    return { unchangedCost: 0, offers };
  });
}

const lossOf = ({ drop: { value, high } }: SensitivityRow): number => Math.max(0, Number.isFinite(high) ? high : value);

const settingsOf = (rows: readonly SensitivityRow[]): LayerSettings =>
  new Map(rows.flatMap(({ layers, setting }) => layers.map((layer) => [layer, setting] as const)));
