/** Techniques and settings that a sensitivity sweep applies to each layer, and the layers that change together. */
import { allLayers, infer } from "#analysis";
import { asPithError, groupBy, Miss, type Model, storedBytes, throwIfAborted } from "#ir";
import type { AnyPass, Change, Context, LayerSelection, OptionValues } from "#pass";
import { runStep, type StepOutcome } from "../../judge/steps/step.ts";
import { parseStep } from "../../judge/steps/step-options.ts";
import { zeroShare } from "../../rewrite/edit/stored-values.ts";
import { factorize } from "../../techniques/factorize/index.ts";
import { isPruned, prune, remove } from "../../techniques/prune/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { optionsForBits } from "../../techniques/quantize/precision-fallback.ts";
import type { Sensitivity, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";

interface Sweep {
  readonly pass: AnyPass;
  readonly sharedOptions: OptionValues;
  /** Settings from the mildest to the harshest. */
  readonly settings: readonly number[];
  /** Setting that changes the most layers. A small share of a few channels rounds to no channel. */
  readonly widestSetting: number;
  /** Setting that changes nothing; undefined if settings are discrete formats. */
  readonly unchangedSetting?: number;
  readonly isCoupled?: true;
  readonly storesZeros?: true;
  layerOptions(setting: number): OptionValues;
}

const cut = {
  pass: prune,
  settings: [0.2, 0.4, 0.6, 0.8],
  widestSetting: 0.8,
  unchangedSetting: 0,
  layerOptions: (amount: number) => ({ amount }),
} as const;

export const sweeps: Readonly<Record<SensitivityKind, Sweep>> = {
  prune: { ...cut, sharedOptions: { amount: 0 }, storesZeros: true },
  channels: { ...cut, sharedOptions: { structured: true, amount: 0 }, isCoupled: true },
  bits: {
    pass: quantize,
    sharedOptions: { scheme: "weights" },
    settings: [8, 4, 3],
    widestSetting: 8,
    layerOptions: optionsForBits,
  },
  rank: {
    pass: factorize,
    sharedOptions: {},
    settings: [0.75, 0.5, 0.25],
    widestSetting: 0.75,
    unchangedSetting: 1,
    layerOptions: (budget) => ({ budget }),
  },
};

export type LayerSettings = ReadonlyMap<string, number>;

export function optionsOf(kind: SensitivityKind, settings: LayerSettings): OptionValues {
  const { sharedOptions, layerOptions } = sweeps[kind];
  const overrides = Array.from(settings, ([layer, setting]) => [layer, layerOptions(setting)] as const);
  return { ...sharedOptions, layers: [...settings.keys()], overrides: Object.fromEntries(overrides) };
}

export async function applySettings(
  kind: SensitivityKind,
  settings: LayerSettings,
  model: Model,
  context: Context,
): Promise<StepOutcome> {
  const outcome = await runStep(await parseStep(sweeps[kind].pass, optionsOf(kind, settings)), model, {}, context);
  if (isPruned(model)) await remove(model);
  return outcome;
}

/** @returns the changes, or a Miss with the reason why nothing changes. */
export async function applySetting(
  kind: SensitivityKind,
  layers: readonly string[],
  setting: number,
  model: Model,
  context: Context,
): Promise<readonly Change[] | Miss> {
  try {
    const settings = new Map(layers.map((layer) => [layer, setting]));
    const { changes, misses } = await applySettings(kind, settings, model, context);
    const [{ reason, by } = new Miss("nothing changes")] = misses;
    if (changes.length === 0) return new Miss(reason, by);
    // Layers that do not support a bit width get another one.
    const isRequested =
      kind !== "bits" || changes.every(({ at, bits }) => !layers.includes(at ?? "") || bits === setting);
    return isRequested ? changes : new Miss("no format supports it");
  } catch (error) {
    return new Miss(asPithError(error).message);
  }
}

/** For unstructured pruning, these are the bytes of weights that have become zero. */
export async function countSavedBytes({ kind, layers, bytes }: Unit, original: Model, result: Model): Promise<number> {
  if (!sweeps[kind].storesZeros) return storedBytes(original.graph) - storedBytes(result.graph);
  const zeros = async (model: Model): Promise<number> => {
    const weights = allLayers(model, infer(model)).flatMap(({ name, weight }) =>
      layers.includes(name) ? [weight] : [],
    );
    return (await zeroShare(new Set(weights))) ?? 0;
  };
  return Math.round(bytes * ((await zeros(result)) - (await zeros(original))));
}

export function middleSettingOf(kind: SensitivityKind): number {
  const { settings } = sweeps[kind];
  return settings[Math.floor((settings.length - 1) / 2)] ?? 0;
}

/** Layers that a technique changes together. */
export type Unit = Pick<SensitivityRow, "kind" | "layers" | "bytes">;

export interface SweepMeasurement {
  readonly unit: Unit;
  readonly setting: number;
}

/** @param alike combine layers whose names differ only in numbers. */
export async function unitsOf(
  model: Model,
  kinds: readonly SensitivityKind[],
  alike: boolean,
  selection: LayerSelection,
  context: Context,
) {
  const units: Unit[] = [];
  const misses: Sensitivity["misses"][number][] = [];
  const layers = allLayers(model, infer(model));
  const layerNames = [...new Set(layers.map(({ name }) => name))];
  for (const kind of kinds) {
    throwIfAborted(context.signal);
    const { pass, sharedOptions, layerOptions, widestSetting, isCoupled } = sweeps[kind];
    const applyTo = async (options: OptionValues): Promise<StepOutcome> =>
      runStep(await parseStep(pass, options), model.clone(), {}, { ...context, log: () => {} });
    // As an option of the whole model, some layers could meet the setting for all, such as a budget of weights.
    const overrides = { "*": layerOptions(widestSetting) };
    const outcome = await applyTo({ ...sharedOptions, overrides, ...selection });
    misses.push(...outcome.misses.map(({ at, reason }) => ({ kind, at, reason })));
    const remainingLayers = new Set(outcome.changes.map(({ at }) => at));
    const groups: (readonly string[])[] = [];
    for (const name of layerNames) {
      if (!remainingLayers.has(name)) continue;
      const options = optionsOf(kind, new Map([[name, widestSetting]]));
      const { changes } = isCoupled ? await applyTo(options) : { changes: [] };
      const coupledNames = new Set(changes.map(({ at }) => at)).add(name);
      const group = layerNames.filter((layer) => remainingLayers.has(layer) && coupledNames.has(layer));
      for (const layer of group) remainingLayers.delete(layer);
      groups.push(group);
    }
    const keyOf = ([name = ""]: readonly string[]): string => (alike ? name.replaceAll(/\d+/g, "*") : name);
    for (const names of [...groupBy(groups, keyOf).values()].map((unitGroups) => unitGroups.flat())) {
      const weights = layers.flatMap(({ name, weight }) => (names.includes(name) ? (weight.tensor ?? []) : []));
      units.push({ kind, layers: names, bytes: [...new Set(weights)].reduce((sum, { bytes }) => sum + bytes, 0) });
    }
  }
  return { units, misses };
}

/** The middle settings of all layers come first, so that an interrupted sweep has measured the same setting of each layer. */
export function orderMeasurements(measurements: readonly SweepMeasurement[]): readonly SweepMeasurement[] {
  const distanceOf = ({ unit: { kind }, setting }: SweepMeasurement): number => {
    const { settings } = sweeps[kind];
    return Math.abs(settings.indexOf(setting) - settings.indexOf(middleSettingOf(kind)));
  };
  return measurements.toSorted((a, b) => distanceOf(a) - distanceOf(b));
}
