/** What pruning offers to a search: fewer channels in each layer, or fewer layers. Single weights leave the file as large as it is. */
import { Miss, refusalIn } from "../errors.ts";
import type { Move, Moves } from "../passes/moves.ts";
import { repeatedLayers } from "./repeated-layers.ts";

const amounts = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
/** Layers keep any number of channels, or a multiple of 8, for which kernels are fast. */
const widths = [{ family: "channels" }, { family: "channels in eights", roundTo: 8 }];
/** Samples on which the influence of layers is measured. */
const samplesOfInfluence = 64;

export const pruneMoves: Moves = ({ model, samples }) => {
  // Channels that are normalized together can go where something heals what that takes.
  const through = samples.calibrate > 0 ? { throughNorms: true } : {};
  const channels = widths.flatMap(({ family, ...width }) =>
    amounts.map(
      (amount): Move => ({
        name: `${family} −${Math.round(100 * amount)} %`,
        options: { structured: amount, ...width, ...through },
        kind: "structure",
        family,
        // Of a layer both its outputs and its inputs go.
        left: (1 - amount) ** 2,
        runs: 0,
      }),
    ),
  );
  if (samples.calibrate === 0) return channels;
  const stacks = repeatedIn(model);
  const most = stacks instanceof Miss ? 0 : Math.max(0, ...stacks.map((stack) => stack.length));
  const layers = Array.from({ length: Math.floor(most / 2) }, (_, at): Move => {
    const count = at + 1;
    return {
      name: `layers −${count}`,
      options: { dropLayers: count },
      kind: "structure",
      family: "layers",
      left: 1 - count / (most + 1),
      runs: samplesOfInfluence,
    };
  });
  return [...channels, ...layers];
};

function repeatedIn(model: Parameters<typeof repeatedLayers>[0]) {
  try {
    return repeatedLayers(model.clone());
  } catch (error) {
    return new Miss(refusalIn(error).message);
  }
}
