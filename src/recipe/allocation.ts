/**
 * Settings for each layer out of what each loses alone: together they take no more bytes than a budget, and lose least (`math/allocate.ts`).
 *
 * What a layer loses is taken from the upper end of its interval: of two that seem to lose nothing, one whose answers changed more is dearer. Losses of
 * several layers are added up, which is an estimate; the recipe's result is measured like any other.
 */
import { allocate, type Item } from "../math/allocate.ts";
import type { Sensitivity, SensitivityKind, SensitivityRow } from "../report/sensitivity.ts";
import { groupBy } from "../tensor/group-by.ts";
import { type Recipe, recipeFrom } from "./recipe.ts";
import { middleOf, optionsOf, sweeps } from "./sweeps.ts";

export interface Allocation {
  /** One step, whose `overrides` give each layer its setting; layers without one stay as they are. */
  readonly recipe: Recipe;
  /** What is taken, one row for layers that go together. */
  readonly rows: readonly SensitivityRow[];
  /** Bytes of all stored numbers then, of single weights those that are not zero: more than the budget where the harshest settings leave more. */
  readonly bytes: number;
}

/** The bytes that a model has where every layer has the setting that is tried first: 40 % pruned, 4 bits, half of the rank. */
function usualBudget({ bytes, rows }: Sensitivity, kind: SensitivityKind): number {
  const middle = rows.filter((row) => row.kind === kind && row.setting === middleOf(kind));
  return middle.reduce((left, { saved }) => left - saved, bytes);
}

/**
 * @param budget bytes that may be left, of `sensitivity.bytes`.
 * @returns undefined where nothing of the kind was measured that saves bytes.
 * @example
 * const found = await sensitivity(model, { test: data, metric: accuracy() });
 * const allocation = allocationFrom(found, "bits", 0.2 * found.bytes);
 * if (allocation !== undefined) await runRecipe(model, allocation.recipe, { test: data, metric: accuracy() });
 */
export function allocationFrom(
  sensitivity: Sensitivity,
  kind: SensitivityKind,
  budget: number = usualBudget(sensitivity, kind),
): Allocation | undefined {
  const useful = sensitivity.rows.filter(
    (row) => row.kind === kind && row.saved > 0 && Number.isFinite(row.drop.value),
  );
  const items = [...groupBy(useful, ({ layers }) => JSON.stringify(layers)).values()].map(
    (rows): Item<SensitivityRow> => ({
      whole: rows[0].bytes,
      offers: rows.map((row) => ({ cost: row.bytes - row.saved, loss: lossOf(row), choice: row })),
    }),
  );
  const others = sensitivity.bytes - items.reduce((sum, { whole }) => sum + whole, 0);
  const { taken, cost } = allocate(items, budget, others);
  const rows = taken.flatMap((offer) => offer?.choice ?? []);
  if (rows.length === 0) return undefined;
  const settings = new Map(rows.flatMap(({ layers, setting }) => layers.map((layer) => [layer, setting] as const)));
  const step = { [sweeps[kind].pass.id]: optionsOf(sweeps[kind], settings) };
  return { recipe: recipeFrom({ steps: [step] }), rows, bytes: cost };
}

const lossOf = ({ drop: { value, high } }: SensitivityRow): number => Math.max(0, Number.isFinite(high) ? high : value);
