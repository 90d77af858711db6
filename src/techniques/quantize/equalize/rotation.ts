/**
 * Rotation of residual streams (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456; SpinQuant, Liu et al. 2024, arXiv 2405.16406): a
 * Hadamard matrix mixes outlier channels with the others. Kept if the float outputs stay the same and the noise falls.
 */

import { infer } from "../../../core/analysis/infer.ts";
import { Miss, throwIfAborted } from "../../../core/errors.ts";
import { type Change, movedFactors } from "../../../core/pass/pass.ts";
import { rotate, rotationStreams } from "../../../rewrite/edit/rotate.ts";
import { trialsOn } from "../../../runtime/noise/noise-trials.ts";
import { everySetting } from "../options.ts";
import type { Transformation } from "./transformation.ts";

const leastGain = 0.1;
/** Maximum noise of float32 arithmetic relative to the outputs: 90 dB. */
const mostNoise = 1e-9;
/** With fewer channels, a rotation does not spread outliers enough to remove them. */
const leastUnits = 16;

export const rotation: Transformation = {
  suits: (options) =>
    options.data !== undefined &&
    everySetting(options).some(({ scheme, bits }) => scheme === "static" || scheme === "dynamic" || bits < 8),
  async move(model, _, { seed, signal }, noise) {
    const changes: Change[] = [];
    const trial = trialsOn(model, noise.rounded, leastGain);
    for (const stream of rotationStreams(model, infer(model))) {
      if (stream.units < leastUnits) continue;
      throwIfAborted(signal, "Stopped on request.");
      const gain = await trial(async () => {
        if ((await rotate(model, stream, seed)) instanceof Miss) return false;
        return ((await noise.plain(model)) ?? Number.POSITIVE_INFINITY) < mostNoise;
      });
      if (gain === undefined) continue;
      const what = `its ${stream.units} channels are rotated together: ${gain}`;
      changes.push({ at: stream.name, what, kind: movedFactors, decidedBy: "global" });
    }
    return changes;
  },
};
