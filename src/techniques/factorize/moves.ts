import type { Move, Moves } from "../../core/pass/moves.ts";

const budgets = [0.8, 0.6, 0.4];

export const factorizeMoves: Moves = ({ samples }) =>
  budgets.map(
    (budget): Move => ({
      name: `low rank ${Math.round(100 * budget)} %`,
      options: { budget, timing: false, ...(samples.calibrate > 0 ? { activations: "whitening" } : {}) },
      kind: "structure",
      family: "low rank",
      left: budget,
      runs: samples.calibrate,
    }),
  );
