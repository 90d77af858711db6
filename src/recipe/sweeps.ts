/** What is tried on each layer: a pass with options of its own for the layer, from the mildest setting to the harshest. */

import { Miss, refusalIn } from "../errors.ts";
import { factorize } from "../factorize/index.ts";
import type { Model } from "../graph/model.ts";
import type { AnyPass, Change, Context, OptionValues } from "../passes/index.ts";
import { prune } from "../prune/index.ts";
import { quantize } from "../quantize/index.ts";
import type { SensitivityKind } from "../report/sensitivity.ts";
import { runStep } from "../run/step.ts";

export interface Sweep {
  readonly pass: AnyPass;
  /** Of the pass, whatever the layer. */
  readonly shared: OptionValues;
  readonly settings: readonly number[];
  /** The setting that changes most layers: of few channels a small share is none, and of what has zeros one that is zeros. */
  readonly widest: number;
  /** The setting that changes nothing, where those between two settings can be had, too. */
  readonly none?: number;
  /** Whether layers may change with the one that is named. */
  readonly isCoupled?: true;
  /** Whether numbers that go stay in the file as zeros. */
  readonly storesZeros?: true;
  /** Of a layer, as `overrides` has them. */
  own(setting: number): OptionValues;
  /** Whether a change is the one that was asked for: a layer that a format is not for gets another. */
  isAsked?(change: Change, setting: number): boolean;
}

const amounts = [0.2, 0.4, 0.6, 0.8];
const amount = (share: number): OptionValues => ({ amount: share });

export const sweeps: Readonly<Record<SensitivityKind, Sweep>> = {
  prune: {
    pass: prune,
    shared: { amount: 0 },
    settings: amounts,
    widest: 0.8,
    none: 0,
    storesZeros: true,
    own: amount,
  },
  channels: {
    pass: prune,
    shared: { structured: true, amount: 0 },
    settings: amounts,
    widest: 0.8,
    none: 0,
    isCoupled: true,
    own: amount,
  },
  bits: {
    pass: quantize,
    shared: { scheme: "weights" },
    settings: [8, 4, 3],
    widest: 8,
    // Of integers there are 8 and 4 bits, which convolutions have in operators of ONNX alone.
    own: (bits) => (bits === 8 ? { bits } : bits === 4 ? { bits, onnxOnly: true } : { bits, weights: "palette" }),
    isAsked: ({ bits }, setting) => bits === setting,
  },
  rank: {
    pass: factorize,
    shared: { timing: false },
    settings: [0.75, 0.5, 0.25],
    widest: 0.75,
    none: 1,
    own: (ratio) => ({ ratio }),
  },
};

/** The options of a step that changes these layers alone, each by its own setting. */
export const optionsOf = ({ shared, own }: Sweep, settings: ReadonlyMap<string, number>): OptionValues => ({
  ...shared,
  layers: [...settings.keys()],
  overrides: Object.fromEntries([...settings].map(([layer, setting]) => [layer, own(setting)])),
});

/** Changes some layers of a model, in place, each by the same setting. @returns what was done, or why nothing. */
export async function applied(
  kind: SensitivityKind,
  layers: readonly string[],
  setting: number,
  model: Model,
  context: Context,
): Promise<readonly Change[] | Miss> {
  const { pass, isAsked = () => true } = sweeps[kind];
  const options = optionsOf(sweeps[kind], new Map(layers.map((layer) => [layer, setting])));
  try {
    const { changes, misses } = await runStep(pass, model, options, {}, context);
    const [{ reason, by } = new Miss("nothing changes")] = misses;
    if (changes.length === 0) return new Miss(reason, by);
    return changes.every((change) => isAsked(change, setting)) ? changes : new Miss("no format supports it");
  } catch (error) {
    return new Miss(refusalIn(error).message);
  }
}

/** What is tried first, and what an allocation costs unless said: of four the second. */
export function middleOf(kind: SensitivityKind): number {
  const { settings } = sweeps[kind];
  return settings[Math.floor((settings.length - 1) / 2)] ?? 0;
}
