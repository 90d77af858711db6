/** Tunes settings by short runs from the initial weights, which together see about as many samples as the training. */
import { draw } from "../data/select.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { validationLoss } from "../train/forward-loss.ts";
import type { Loss } from "../train/loss.ts";
import { openData } from "../train/plan.ts";
import { train } from "../train/train.ts";
import { type TrainOptions, usualBatch } from "../train/train-options.ts";

export interface Settings {
  readonly learningRate: number;
  readonly temperature: number;
  readonly alpha: number;
}

type Choices = Readonly<Record<keyof Settings, readonly number[]>>;

/** Tries the choices of each setting in order, with the best earlier settings; lower is better. */
export async function search(start: Settings, choices: Choices, figureOf: (settings: Settings) => Promise<number>) {
  let best = { settings: start, figure: await figureOf(start) };
  const tried = [best];
  for (const name of Object.keys(choices) as (keyof Settings)[]) {
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

interface Tuning {
  readonly start: Settings;
  readonly choices: Choices;
  /** Compares the settings: the same loss for all, and finer than accuracy. */
  readonly loss: Loss;
  optionsOf(settings: Settings): TrainOptions;
}

const shortRun = {
  ...{ log: undefined, onStep: undefined, onEpoch: undefined },
  epochs: 1,
  validation: undefined,
  every: undefined,
  patience: undefined,
  checkpoint: undefined,
  resume: false,
};

const heldOut = 0.1;
const mostHeldOut = 2000;
const fewestSteps = 8;

/** The best settings; all results are logged. @throws PithError E_DATA if no samples can be held out. */
export async function tuned(
  model: Model,
  { start, choices, loss, optionsOf }: Tuning,
  context: Context,
): Promise<Settings> {
  const { data, validation = heldOut, epochs, batch = usualBatch } = optionsOf(start);
  const parts = await openData(data, validation, context.seed, mostHeldOut);
  const runs = 1 + Object.values(choices).flat().length;
  const wanted = Math.ceil(((parts.data.count ?? 0) * epochs) / runs);
  const samples = draw(parts.data, Math.max(wanted, fewestSteps * batch), context.seed);
  let done = 0;
  const { best, tried } = await search(start, choices, async (settings) => {
    const copy = model.clone();
    const quiet = { ...context, log: () => {}, progress: () => {} };
    const isTrained = await train(copy, { ...optionsOf(settings), ...shortRun, data: samples }, quiet).then(
      () => true,
      (error: unknown) => {
        // Divergence counts as the worst figure.
        if (error instanceof PithError && error.code === "E_DIVERGED") return false;
        throw error;
      },
    );
    context.progress(++done, runs, "tuning");
    return isTrained ? validationLoss(copy, parts.validation, loss, batch, quiet) : Number.NaN;
  });
  for (const { settings, figure } of tried) {
    const rate = `learning rate ${Number(settings.learningRate.toPrecision(2))}`;
    const others = `, temperature ${settings.temperature}, alpha ${settings.alpha}`;
    const text = choices.temperature.length > 0 ? `${rate}${others}` : rate;
    const found = `${loss.name} ${figure.toPrecision(4)}${settings === best ? "  ← taken" : ""}`;
    context.log({
      id: "tune",
      text: `tuned on ${parts.validation.count ?? "all"} held-out samples: ${text}: ${found}`,
    });
  }
  return best;
}
