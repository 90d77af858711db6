/** What pruning offers to a search: fewer channels in each layer, or fewer layers. Single weights leave the file as large as it is. */
import type { Block } from "../analysis/blocks.ts";
import { Miss, refusalIn } from "../errors.ts";
import { storedBytes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Move, Moves } from "../passes/moves.ts";
import type { OptionValues } from "../passes/pass.ts";
import { repeatedLayers } from "./repeated-layers.ts";

const amounts = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
/** Gradients of samples, in runs of one. */
const runsOfGradients = 6;

/** Ways to cut an amount of the channels. */
interface Way {
  readonly family: string;
  readonly options: OptionValues;
  /** With an amount a of the channels cut, the share (1 − a) to this power of the bytes is left, about: each layer loses outputs and inputs. */
  readonly power: number;
  readonly runs: number;
}

/** The same share of each layer, to any number of channels or to a multiple of 8, for which kernels are fast. */
const sameShares: readonly Way[] = [
  { family: "channels", options: {}, power: 2, runs: 0 },
  { family: "channels in eights", options: { roundTo: 8 }, power: 2, runs: 0 },
];
/** Of all layers together, those whose removal changes the loss least, to first order. */
const byGradients: Way = {
  family: "weakest channels",
  options: { importance: "taylor", scope: "global" },
  power: 1.5,
  runs: runsOfGradients,
};
const samplesOfInfluence = 64;

export const pruneMoves: Moves = ({ model, samples, hasLabels }) => {
  // Channels that are normalized together can go where something heals what that takes.
  const through = samples.calibrate > 0 ? { throughNorms: true } : {};
  const ways = samples.calibrate > 0 && hasLabels ? [...sameShares, byGradients] : sameShares;
  const channels = ways.flatMap(({ family, options, power, runs }) =>
    amounts.map(
      (amount): Move => ({
        name: `${family} −${Math.round(100 * amount)} %`,
        options: { structured: amount, ...options, ...through },
        kind: "structure",
        family,
        left: (1 - amount) ** power,
        runs: runs * samples.calibrate,
      }),
    ),
  );
  if (samples.calibrate === 0) return channels;
  const stacks = repeatedIn(model);
  if (stacks instanceof Miss) return channels;
  const most = Math.max(0, ...stacks.map((stack) => stack.length));
  const share = shareOfLayer(stacks, model);
  const layers = Array.from({ length: Math.floor(most / 2) }, (_, at): Move => {
    const count = at + 1;
    return {
      name: `layers −${count}`,
      options: { dropLayers: count },
      kind: "structure",
      family: "layers",
      left: 1 - count * share,
      runs: samplesOfInfluence,
    };
  });
  return [...channels, ...layers];
};

/** The share of the bytes that one of the repeated layers has, on average. */
function shareOfLayer(stacks: readonly (readonly Block[])[], model: Model): number {
  const layers = stacks.flat();
  const weights = layers.flatMap(({ nodes }) =>
    nodes.flatMap(({ inputs }) => inputs.map((input) => input?.tensor?.bytes ?? 0)),
  );
  return weights.reduce((sum, bytes) => sum + bytes, 0) / layers.length / storedBytes(model.graph);
}

function repeatedIn(model: Model) {
  try {
    return repeatedLayers(model.clone());
  } catch (error) {
    return new Miss(refusalIn(error).message);
  }
}
