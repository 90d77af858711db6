/** Bias correction (`techniques/calibrate/biases.ts`). Batch normalization after a layer has a separate stage. */

import { counted } from "../../core/numbers.ts";
import { correctBiases } from "../calibrate/biases.ts";
import { type Stage, startCalibration } from "./stage.ts";

export const biasStage: Stage = {
  name: "bias",
  async run(model, scope) {
    const changed = await correctBiases(model, scope.data, () => startCalibration(model, scope), scope);
    return { changed, misses: scope.match.misses, what: counted(changed, "layer") };
  },
};
