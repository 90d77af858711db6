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
import { allocateMeasured, type Item } from "../../core/math/allocate.ts";
import { recipeFrom } from "../../judge/recipe/check-recipe.ts";
import type { Recipe } from "../../judge/recipe/recipe.ts";
import { runStep } from "../../judge/steps/step.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { countSavedBytes, foldMasksOfPruned } from "./measuring.ts";
import type { Sensitivity, SensitivityCost, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";
import { middleSettingOf, optionsOf, sweeps } from "./sweeps.ts";

export interface AllocationOptions {
  /** Share of the cost to keep (default: what remains with the middle setting on every layer: 40 % pruned, 4 bits, or half of the rank). */
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

type Settings = ReadonlyMap<string, number>;

/**
 * Chooses settings from a sensitivity sweep.
 * @param original the measured model; it is not changed.
 * @returns undefined if no measured setting of the kind saves any of the cost.
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
  const units = unitsOf(sensitivity.rows, kind, savingOf);
  if (units.length === 0) return undefined;
  const model = original.clone();
  storeWeights(model);
  const shares = new Map<string, number>();
  const shareOf = async (settings: Settings): Promise<number> => {
    const key = JSON.stringify([...settings]);
    const cached = shares.get(key);
    if (cached !== undefined) return cached;
    throwIfAborted(context.signal, "Stopped while settings were chosen.");
    const share =
      settings.size === 0
        ? 1
        : await remainingShare(model, await changeModel(model, kind, settings, context), cost, kind, units);
    shares.set(key, share);
    return share;
  };
  const maxShare = budget ?? (await shareOf(middleSettings(sensitivity.rows, kind)));
  const items = units.map(
    (unit): Item<SensitivityRow> => ({
      unchangedCost: 0,
      offers: withBetween(kind, unit).map(({ row, loss, saving }) => ({ cost: -saving, loss, choice: row })),
    }),
  );
  const limits = { fixed: 1, attempts: maxChoices, slack: minSlack };
  const countCost = async (rows: readonly SensitivityRow[]): Promise<Choice> => ({
    rows,
    cost: await shareOf(settingsOf(rows)),
  });
  const choice = await allocateMeasured(items, maxShare, limits, (offers) =>
    countCost(offers.flatMap((offer) => offer?.choice ?? [])),
  );
  const { rows, cost: share } = await useSlack(units, choice, maxShare, countCost);
  if (rows.length === 0) return undefined;
  const step = { [sweeps[kind].pass.id]: optionsOf(sweeps[kind], settingsOf(rows)) };
  return { recipe: recipeFrom({ steps: [step] }), rows, share };
}

async function remainingShare(
  original: Model,
  result: Model,
  cost: SensitivityCost,
  kind: SensitivityKind,
  units: readonly Unit[],
): Promise<number> {
  if (cost === "macs") return macsOf(result) / macsOf(original);
  const changed = {
    kind,
    layers: units.flatMap(([first]) => first?.row.layers ?? []),
    bytes: units.reduce((sum, [first]) => sum + (first?.row.bytes ?? 0), 0),
  };
  return 1 - (await countSavedBytes(changed, original, result)) / storedBytes(original.graph);
}

function macsOf(model: Model): number {
  const macs = fixedMacs(model);
  return macs instanceof Miss ? Number.NaN : macs;
}

interface Option {
  readonly row: SensitivityRow;
  readonly loss: number;
  readonly saving: number;
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
      return { row, loss, saving: savingOf(row) };
    });
    return monotonic.toReversed();
  });
}

const lossOf = ({ drop: { value, high } }: SensitivityRow): number => Math.max(0, Number.isFinite(high) ? high : value);

/** Number of parts into which the settings between two measured ones are divided. */
const parts = 16;

/** Adds continuous settings between the measured ones. Their losses and savings are interpolated, so they only serve to use up a budget. */
function withBetween(kind: SensitivityKind, unit: Unit): Unit {
  const { unchangedSetting } = sweeps[kind];
  if (unchangedSetting === undefined) return unit;
  let milder = { setting: unchangedSetting, loss: 0, saving: 0 };
  return unit.flatMap(({ row, loss, saving }) => {
    const { setting } = row;
    const from = milder;
    milder = { setting, loss, saving };
    return Array.from({ length: parts }, (_, index) => {
      const mix = (a: number, b: number): number => a + ((b - a) * (index + 1)) / parts;
      return {
        row: { ...row, setting: Math.round(1000 * mix(from.setting, setting)) / 1000 },
        ...{ loss: mix(from.loss, loss), saving: mix(from.saving, saving) },
      };
    });
  });
}

interface Choice {
  readonly rows: readonly SensitivityRow[];
  readonly cost: number;
}

/** Number of choices whose cost is counted, and the unused share of the cost at which no other is tried. */
const [maxChoices, minSlack] = [8, 0.02];

/** Makes settings milder, or leaves layers unchanged, while the budget allows it: channels are removed in blocks, so much of it can be unused. */
async function useSlack(
  units: readonly Unit[],
  choice: Choice,
  budget: number,
  countCost: (rows: readonly SensitivityRow[]) => Promise<Choice>,
): Promise<Choice> {
  let chosen = choice;
  for (const unit of units) {
    if (budget - chosen.cost < minSlack) break;
    for (const milder of [[], ...unit.map(({ row }) => [row])]) {
      const rows = units.flatMap((other) =>
        other === unit ? milder : chosen.rows.filter(({ layers }) => layers === other[0]?.row.layers),
      );
      const tried = await countCost(rows);
      if (tried.cost > budget || tried.cost <= chosen.cost) continue;
      chosen = tried;
      break;
    }
  }
  return chosen;
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
