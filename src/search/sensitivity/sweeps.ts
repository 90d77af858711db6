/** Techniques and settings that a sensitivity sweep applies to each layer, and the layers that change together. */

import { allLayers, infer, type Layer } from "#analysis";
import { asPithError, groupBy, Miss, type Model, throwIfAborted } from "#ir";
import type { AnyPass, Change, Context, LayerSelection, OptionValues } from "#pass";
import { runStep } from "../../judge/steps/step.ts";
import { factorize } from "../../techniques/factorize/index.ts";
import { prune } from "../../techniques/prune/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { optionsForBits } from "../../techniques/quantize/precision-fallback.ts";
import type { Sensitivity, SensitivityKind, SensitivityRow } from "./sensitivity-record.ts";

export interface Sweep {
  readonly pass: AnyPass;
  readonly sharedOptions: OptionValues;
  /** Settings from the mildest to the harshest. */
  readonly settings: readonly number[];
  /** Setting that changes the most layers. This is not always the mildest: a small share of a few channels rounds to no channel. */
  readonly widestSetting: number;
  /** Setting that changes nothing; undefined if settings are discrete formats. */
  readonly unchangedSetting?: number;
  readonly isCoupled?: true;
  readonly storesZeros?: true;
  layerOptions(setting: number): OptionValues;
  /** Returns whether a change used the requested format. Layers that do not support this format get another one. */
  isRequested?(change: Change, setting: number): boolean;
}

const amounts = [0.2, 0.4, 0.6, 0.8];
const amount = (share: number): OptionValues => ({ amount: share });

export const sweeps: Readonly<Record<SensitivityKind, Sweep>> = {
  prune: {
    pass: prune,
    sharedOptions: { amount: 0 },
    settings: amounts,
    widestSetting: 0.8,
    unchangedSetting: 0,
    storesZeros: true,
    layerOptions: amount,
  },
  channels: {
    pass: prune,
    sharedOptions: { structured: true, amount: 0 },
    settings: amounts,
    widestSetting: 0.8,
    unchangedSetting: 0,
    isCoupled: true,
    layerOptions: amount,
  },
  bits: {
    pass: quantize,
    sharedOptions: { scheme: "weights" },
    settings: [8, 4, 3],
    widestSetting: 8,
    layerOptions: optionsForBits,
    isRequested: ({ bits }, setting) => bits === setting,
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

export const optionsOf = (
  { sharedOptions, layerOptions }: Sweep,
  settings: ReadonlyMap<string, number>,
): OptionValues => ({
  ...sharedOptions,
  layers: [...settings.keys()],
  overrides: Object.fromEntries([...settings].map(([layer, setting]) => [layer, layerOptions(setting)])),
});

/** Changes some layers in place, all by the same setting. @returns the changes, or a Miss with the reason why nothing changes. */
export async function applySetting(
  kind: SensitivityKind,
  layers: readonly string[],
  setting: number,
  model: Model,
  context: Context,
): Promise<readonly Change[] | Miss> {
  const { pass, isRequested = () => true } = sweeps[kind];
  const options = optionsOf(sweeps[kind], new Map(layers.map((layer) => [layer, setting])));
  try {
    const { changes, misses } = await runStep(pass, model, options, {}, context);
    const [{ reason, by } = new Miss("nothing changes")] = misses;
    if (changes.length === 0) return new Miss(reason, by);
    return changes.every((change) => isRequested(change, setting)) ? changes : new Miss("no format supports it");
  } catch (error) {
    return new Miss(asPithError(error).message);
  }
}

export function middleSettingOf(kind: SensitivityKind): number {
  const { settings } = sweeps[kind];
  return settings[Math.floor((settings.length - 1) / 2)] ?? 0;
}

export type SensitivityMiss = Sensitivity["misses"][number];

/** Layers that a technique changes together: one layer, layers with coupled channels, or layers with similar names. */
export type Unit = Pick<SensitivityRow, "kind" | "layers" | "bytes">;

export interface Measurement {
  readonly unit: Unit;
  readonly setting: number;
}

/** Returns the units of each technique: every layer that its pass changes. @param alike combine layers whose names differ only in numbers. */
export async function unitsOf(
  model: Model,
  kinds: readonly SensitivityKind[],
  alike: boolean,
  selection: LayerSelection,
  context: Context,
): Promise<{ readonly units: readonly Unit[]; readonly misses: SensitivityMiss[] }> {
  const units: Unit[] = [];
  const misses: SensitivityMiss[] = [];
  const layers = allLayers(model, infer(model));
  const layerNames = [...new Set(layers.map(({ name }) => name))];
  for (const kind of kinds) {
    throwIfAborted(context.signal);
    const { pass, sharedOptions, layerOptions, widestSetting, isCoupled } = sweeps[kind];
    // Each layer gets the setting: as an option of the whole model, some layers could meet it for all, such as a budget of weights.
    const widestOptions = { ...sharedOptions, overrides: { "*": layerOptions(widestSetting) }, ...selection };
    const outcome = await runStep(pass, model.clone(), widestOptions, {}, context);
    misses.push(...outcome.misses.map(({ at, reason }) => ({ kind, at, reason })));
    const remainingLayers = new Set(outcome.changes.map(({ at }) => at));
    const groups: (readonly string[])[] = [];
    for (const name of layerNames.filter((layer) => remainingLayers.has(layer))) {
      if (!remainingLayers.has(name)) continue;
      const options = optionsOf(sweeps[kind], new Map([[name, widestSetting]]));
      const { changes } = isCoupled ? await runStep(pass, model.clone(), options, {}, context) : { changes: [] };
      const coupledNames = changes.map(({ at }) => at);
      const group = layerNames.filter(
        (layer) => layer === name || (remainingLayers.has(layer) && coupledNames.includes(layer)),
      );
      for (const layer of group) remainingLayers.delete(layer);
      groups.push(group);
    }
    const keyOfGroup = alike
      ? ([name = ""]: readonly string[]) => name.replaceAll(/\d+/g, "*")
      : (group: readonly string[]) => group;
    for (const unitGroups of groupBy<readonly string[], unknown>(groups, keyOfGroup).values()) {
      const names = unitGroups.flat();
      units.push({ kind, layers: names, bytes: weightBytes(layers.filter(({ name }) => names.includes(name))) });
    }
  }
  return { units, misses };
}

/** Orders measurements. The middle settings of all layers come first, so that an interrupted sweep has measured the same setting of each layer. */
export function orderMeasurements(measurements: readonly Measurement[]): readonly Measurement[] {
  const distanceOf = ({ unit: { kind }, setting }: Measurement): number => {
    const { settings } = sweeps[kind];
    return Math.abs(settings.indexOf(setting) - settings.indexOf(middleSettingOf(kind)));
  };
  return measurements.toSorted((a, b) => distanceOf(a) - distanceOf(b));
}

function weightBytes(layers: readonly Layer[]): number {
  const tensors = new Set(layers.flatMap(({ weight }) => weight.tensor ?? []));
  return [...tensors].reduce((sum, { bytes }) => sum + bytes, 0);
}
