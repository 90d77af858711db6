/** Moves of distillation for a search: training on the original's answers, for 1 to 20 epochs. */
import type { Move, Moves } from "../passes/moves.ts";

const epochs = [1, 3, 8, 20];
/** Cost of a training sample, as measured: one forward run, a backward pass of two to six, and one run of the teacher. */
const runsOfStep = 8;
/** Fewer samples are learnt by heart. */
const fewest = 200;

export const distillMoves: Moves = ({ samples: { train } }) =>
  train < fewest
    ? []
    : epochs.map(
        (count): Move => ({
          name: `distilled, ${count} ${count === 1 ? "epoch" : "epochs"}`,
          options: { teacher: "original", epochs: count },
          kind: "healing",
          family: "distilled",
          heals: 1 - 0.15 / count ** 0.5,
          runs: runsOfStep * count * train,
        }),
      );
