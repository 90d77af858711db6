/** Candidates that pruning adds to a search: fewer channels or layers. Individual weights do not make the file smaller. */
import type { Block } from "#analysis";
import { asPithError, type Model, storedBytes } from "#ir";
import type { Move, MovesRequest } from "#pass";
import { runsOfGradients } from "./options.ts";
import { repeatedLayers } from "./repeated-layers.ts";

const amounts = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
/** If a share a of the channels is removed, about (1 − a) to this power of the bytes remains: layers lose outputs and inputs. */
const powerOfBytes = 1.75;
/** Assumed number of samples on which the influence of layers is measured, to estimate the work. */
const influenceSampleCount = 64;

export function pruneMoves({ model, samples }: MovesRequest): readonly Move[] {
  // Channels that are normalized together can be removed if a later step recovers the loss.
  const through = samples.calibrate > 0 ? { throughNorms: true } : {};
  const channels = amounts.map(
    (amount): Move => ({
      name: `channels −${Math.round(100 * amount)} %`,
      options: { structured: amount, ...through },
      kind: "structure",
      family: "channels",
      sizeShare: (1 - amount) ** powerOfBytes,
      runs: runsOfGradients * samples.calibrate,
    }),
  );
  if (samples.calibrate === 0) return channels;
  const stacks = findStacks(model);
  const maxLayers = Math.max(0, ...stacks.map((stack) => stack.length));
  const share = shareOfLayer(stacks, model);
  const layers = Array.from({ length: Math.floor(maxLayers / 2) }, (_, index): Move => {
    const count = index + 1;
    return {
      name: `layers −${count}`,
      options: { dropLayers: count },
      kind: "structure",
      family: "layers",
      sizeShare: 1 - count * share,
      runs: influenceSampleCount,
    };
  });
  return [...channels, ...layers];
}

function shareOfLayer(stacks: readonly (readonly Block[])[], model: Model): number {
  const layers = stacks.flat();
  const weights = layers.flatMap(({ nodes }) =>
    nodes.flatMap(({ inputs }) => inputs.map((input) => input?.tensor?.bytes ?? 0)),
  );
  return weights.reduce((sum, bytes) => sum + bytes, 0) / layers.length / storedBytes(model.graph);
}

function findStacks(model: Model): readonly (readonly Block[])[] {
  try {
    return repeatedLayers(model.clone());
  } catch (error) {
    asPithError(error);
    return [];
  }
}
