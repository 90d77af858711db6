/** Dropout at inference, of all versions, and in training, where the numbers differ from run to run. */
import { type Example, example, table } from "./define.examples.ts";

const drawn = "every run drops other random numbers";
const random = {
  except: { lower: drawn, gradient: drawn, channels: drawn, file: drawn },
  misses: { quantize: "drops values at random" },
};
const modes = "ratio: float32[] = 0.3; train: bool[] = true;";

export const dropoutExamples: readonly Example[] = [
  ...table()`
    Dropout at inference | (x: float32[batch, 3]) y = Dropout(x)
    Dropout at inference, with its mask | (x: float32[batch, 2, 3]) y, kept = Dropout(x)
    Dropout of opset 7 | opset 7 (x: float32[batch, 3]) y = Dropout(x) {ratio=0.2}
    Dropout of opset 10, with its mask | opset 10 (x: float32[batch, 3]) y, kept = Dropout(x) {ratio=0.2}
    Dropout of a scalar | (x: float32[]) y = Dropout(x)
    Dropout told not to train | (x: float32[batch, 3]) ratio: float32[] = 0.3; train: bool[] = false; y = Dropout(x, ratio, train)
      | except gradient: its ratio is no number to vary
    Dropout told by an input |
      (x: float32[2, 3], train: bool[]) y = Dropout(x, _, train) | feeds train: 0 | no lower: decided at run time
      | no quantize: drops values at random | no gradient: is differentiated as its primitives
  `,
  example("Dropout in training", `(x: float32[batch, 3]) ${modes} y, kept = Dropout(x, ratio, train) {seed=3}`, random),
];
