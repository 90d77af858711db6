/** How much has to go so that a model costs no more than it may: multiply-accumulates, parameters, bytes of its file, or time on this machine. */
import { cost } from "../analysis/cost.ts";
import { cut, type Removal } from "../analysis/cut.ts";
import { infer } from "../analysis/infer.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { Miss, PithError, reasonText, stopIfAsked } from "../errors.ts";
import { relativeTimer } from "../evaluate/relative-time.ts";
import type { Model } from "../graph/model.ts";
import { snapshot } from "../graph/snapshot.ts";
import { encodedSize } from "../onnx/index.ts";
import type { Context } from "../passes/pass.ts";
import { dimValue, elementCount, isSymbolic } from "../tensor/dims.ts";

/** One of these. */
export interface CostBound {
  /** Share of the multiply-accumulates that stays. */
  readonly macs?: number | undefined;
  /** Share of the parameters that stays. */
  readonly parameters?: number | undefined;
  /** Bytes of the file, at most. */
  readonly size?: number | undefined;
  /** Times as fast as before. */
  readonly faster?: number | undefined;
}

/** Halvings of the range of amounts: shares of channels are no finer, and times are not surer. */
const [halvings, timedHalvings] = [12, 6];

export interface Reached {
  readonly amount: number;
  /** Little more goes than has to. */
  readonly near: boolean;
  readonly text: string;
}

const nearEnough = 0.85;

/**
 * The least amount at which a target is reached, and a sentence on what the model costs then.
 * @param removals what goes at an amount from 0 to 1: the larger it is, the more.
 * @throws PithError E_OPTION where it is not reached whatever goes, E_UNSUPPORTED where the cost cannot be told.
 */
export async function amountFor(
  bound: CostBound,
  model: Model,
  removals: (amount: number) => readonly Removal[],
  context: Context,
): Promise<Reached> {
  const meter = await meterOf(bound, model, context);
  try {
    return await leastAmount(meter, model, removals, context);
  } finally {
    await meter.release?.();
  }
}

async function leastAmount(
  { name, bound, steps, measure }: Meter,
  model: Model,
  removals: (amount: number) => readonly Removal[],
  context: Context,
): Promise<Reached> {
  const leftAt = async (amount: number): Promise<number> => {
    stopIfAsked(context.signal);
    const restore = snapshot(model);
    try {
      const failed = await cut(model, removals(amount));
      if (failed instanceof Miss) throw new PithError("E_UNSUPPORTED", `prune: ${reasonText(failed)}`);
      return await measure();
    } finally {
      restore();
    }
  };
  let [low, high, left] = [0, 1, await leftAt(1)];
  if (!(left <= bound)) {
    const text = `\`${name}\` cannot be reached: ${percent(left)} of ${words[name]} stay when all channels go that can, and ${percent(bound)} are asked for.`;
    throw new PithError("E_OPTION", text, { hint: "More may go with `throughNorms`, and with fewer layers excepted." });
  }
  for (let step = 1; step <= steps; step++) {
    const middle = (low + high) / 2;
    const found = await leftAt(middle);
    context.progress(step, steps);
    if (found <= bound) [high, left] = [middle, found];
    else low = middle;
  }
  return {
    amount: high,
    near: left >= nearEnough * bound,
    text: `${percent(high)} of the channels go, which leaves ${percent(left)} of ${words[name]}`,
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const words = {
  macs: "the multiply-accumulates",
  parameters: "the parameters",
  targetSize: "the bytes",
  faster: "the processor time",
} as const;

interface Meter {
  readonly name: keyof typeof words;
  readonly steps: number;
  /** The share of what the model costs that may be left. */
  readonly bound: number;
  /** What the model costs as it is now, as a share of what it did. */
  measure(): Promise<number>;
  release?(): Promise<void>;
}

async function meterOf({ macs, parameters, size, faster }: CostBound, model: Model, context: Context): Promise<Meter> {
  const steps = halvings;
  if (faster !== undefined) {
    const timer = await relativeTimer(model, context);
    return {
      ...{ name: "faster", steps: timedHalvings, bound: 1 / faster },
      measure: () => timer.of(model),
      release: () => timer.release(),
    };
  }
  if (size !== undefined) {
    const whole = await encodedSize(model);
    return { name: "targetSize", steps, bound: size / whole, measure: async () => (await encodedSize(model)) / whole };
  }
  const count = macs === undefined ? parametersIn : macsOf;
  const whole = count(model);
  const measure = async () => count(model) / whole;
  return macs === undefined
    ? { name: "parameters", steps, bound: parameters ?? 1, measure }
    : { name: "macs", steps, bound: macs, measure };
}

/** Where no file says how large named dimensions are: one sample, and sequences and sides of this length. */
const usualSize = 64;

function macsOf(model: Model): number {
  const { macs, misses } = cost(model, infer(model));
  const sizes: Record<string, number> = {};
  for (const { type } of model.graph.feeds)
    for (const [axis, dim] of (type?.dims ?? []).entries())
      if (isSymbolic(dim)) sizes[dim.text] ??= axis === 0 ? 1 : usualSize;
  const value = macs === undefined ? undefined : dimValue(macs, sizes);
  if (value !== undefined) return value;
  const [first] = misses;
  const why = first === undefined ? "they depend on sizes that are not known" : reasonText(first);
  throw new PithError("E_UNSUPPORTED", `prune: "macs": the multiply-accumulates cannot be counted: ${why}.`, {
    hint: "Give a share of the parameters, or an amount.",
  });
}

function parametersIn(model: Model): number {
  let sum = 0;
  for (const { tensor } of parametersOf(model, infer(model)))
    sum += tensor === undefined ? 0 : elementCount(tensor.dims);
  return sum;
}
