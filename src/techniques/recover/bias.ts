/** Recovery stage: bias correction (`techniques/calibrate/biases.ts`). For layers before a batch normalization, see `batch-norm.ts`. */

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
