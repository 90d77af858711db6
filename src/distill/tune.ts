/**
 * Which settings teach best, tried on samples that are held out of the training ones: one setting after the other, each on short runs from the same
 * weights. A run is short enough that all of them together see about as many samples as the training itself.
 */
import { isIndexed } from "../data/indexed.ts";
import { trainPart } from "../data/open.ts";
import { draw, setAside } from "../data/select.ts";
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { validationLoss } from "../train/forward-loss.ts";
import type { Loss } from "../train/loss.ts";
import { usualBatch } from "../train/train-options.ts";

type Choices<S extends object> = { readonly [K in keyof S]: readonly S[K][] };

interface Tried<S> {
  readonly settings: S;
  readonly figure: number;
}

/** One setting after the other in its order: all its choices, with the best of those before; less is better. The start is tried once. */
export async function search<S extends object>(
  start: S,
  choices: Choices<S>,
  figureOf: (settings: S) => Promise<number>,
): Promise<{ readonly best: S; readonly tried: readonly Tried<S>[] }> {
  let best = { settings: start, figure: await figureOf(start) };
  const tried = [best];
  for (const name of Object.keys(choices) as (keyof S)[]) {
    const { settings } = best;
    for (const value of choices[name]) {
      if (value === settings[name]) continue;
      const one = { settings: { ...settings, [name]: value }, figure: Number.NaN };
      one.figure = await figureOf(one.settings);
      tried.push(one);
      if (one.figure < best.figure || (Number.isNaN(best.figure) && !Number.isNaN(one.figure))) best = one;
    }
  }
  return { best: best.settings, tried };
}

export interface Settings {
  readonly learningRate: number;
  readonly temperature: number;
  readonly alpha: number;
}

interface Tuning {
  readonly start: Settings;
  readonly choices: Choices<Settings>;
  /** Temperature and alpha count: the loss is the usual one. */
  readonly isUsual: boolean;
  readonly data: Dataset | string;
  readonly validation?: Dataset | string | number | undefined;
  /** What settings are compared by: the same for all, and finer than a share of right answers. */
  readonly loss: Loss;
  readonly epochs: number;
  readonly batch?: number | undefined;
  /** Trains a copy with these settings, and these options in place of the training's own. */
  train(
    model: Model,
    settings: Settings,
    run: typeof shortRun & Pick<Tuning, "data">,
    context: Context,
  ): Promise<unknown>;
}

const shortRun = {
  epochs: 1,
  validation: undefined,
  every: undefined,
  patience: undefined,
  checkpoint: undefined,
  resume: false,
};

const heldOut = 0.1;
const mostHeldOut = 2000;
/** Fewer steps show nothing. */
const fewestSteps = 8;

/** The settings that did best, all of them written to the log. @throws PithError E_DATA for a stream, of which nothing can be held out. */
export async function tuned(model: Model, tuning: Tuning, context: Context): Promise<Settings> {
  const { start, choices, epochs, batch = usualBatch, loss, isUsual } = tuning;
  const [fit, held] = await divided(tuning, context.seed);
  const runs = 1 + Object.values<readonly unknown[]>(choices).reduce((sum, { length }) => sum + length, 0);
  const samples = draw(fit, Math.max(Math.ceil((fit.count * epochs) / runs), fewestSteps * batch), context.seed);
  let done = 0;
  const { best, tried } = await search(start, choices, async (settings) => {
    const copy = model.clone();
    const quiet = { ...context, log: () => {}, progress: () => {} };
    const isTrained = await tuning.train(copy, settings, { ...shortRun, data: samples }, quiet).then(
      () => true,
      (error: unknown) => {
        // Divergence counts as the worst figure.
        if (error instanceof PithError && error.code === "E_DIVERGED") return false;
        throw error;
      },
    );
    context.progress(++done, runs, "tuning");
    return isTrained ? validationLoss(copy, held, loss, batch, quiet) : Number.NaN;
  });
  for (const { settings, figure } of tried) {
    const rate = `learning rate ${Number(settings.learningRate.toPrecision(2))}`;
    const text = isUsual ? `${rate}, temperature ${settings.temperature}, alpha ${settings.alpha}` : rate;
    const found = `${loss.name} ${figure.toPrecision(4)}${settings === best ? "  ← taken" : ""}`;
    context.log({ id: "tune", text: `tuned on ${held.count} held-out samples: ${text}: ${found}` });
  }
  return best;
}

async function divided({ data, validation }: Pick<Tuning, "data" | "validation">, seed: number) {
  const all = await trainPart(data);
  const apart = typeof validation === "number" || validation === undefined ? undefined : await trainPart(validation);
  if (!isIndexed(all) || (apart !== undefined && !isIndexed(apart)))
    throw new PithError("E_DATA", `${all.name} is a stream: no share of it can be held out to tune on.`, {
      hint: "Give data that can be read in any order, or leave `tune` out.",
    });
  if (apart !== undefined) return [all, apart] as const;
  const share = typeof validation === "number" ? validation : heldOut;
  const { drawn, rest } = setAside(all, Math.min(Math.max(1, Math.round(share * all.count)), mostHeldOut), seed);
  return [rest, drawn] as const;
}
