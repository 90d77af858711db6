/**
 * Rotation of residual streams (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456; SpinQuant, Liu et al. 2024, arXiv 2405.16406): a
 * Hadamard matrix mixes outlier channels with the others. A rotation is kept if the float outputs stay the same and the noise after
 * quantization falls.
 */
import { infer } from "#analysis";
import { Miss, throwIfAborted } from "#ir";
import { type Change, scaledKind } from "#pass";
import { createTrials } from "../../../runtime/noise/output-noise.ts";
import { everySetting } from "../settings.ts";
import type { Transformation } from "./index.ts";
import { rotate, rotationStreams } from "./rotate.ts";

const minGain = 0.1;
/** Maximum noise of float32 arithmetic relative to the outputs: 90 dB. */
const maxNoise = 1e-9;
/** With fewer channels, a rotation does not spread outliers enough to remove them. */
const minUnits = 16;

export const rotation: Transformation = {
  suits: (options) =>
    options.data !== undefined &&
    everySetting(options).some(({ scheme, bits }) => scheme === "static" || scheme === "dynamic" || bits < 8),
  async apply(model, _, { seed, signal }, noise) {
    const changes: Change[] = [];
    const trial = createTrials(model, noise.afterQuantization, minGain);
    for (const stream of rotationStreams(model, infer(model))) {
      if (stream.units < minUnits) continue;
      throwIfAborted(signal, "Stopped on request.");
      const gain = await trial(async () => {
        if ((await rotate(model, stream, seed)) instanceof Miss) return false;
        return ((await noise.inFloat(model)) ?? Number.POSITIVE_INFINITY) < maxNoise;
      });
      if (gain === undefined) continue;
      const text = `its ${stream.units} channels are rotated together: ${gain}`;
      changes.push({ at: stream.name, what: text, kind: scaledKind, decidedBy: "global" });
    }
    return changes;
  },
};
