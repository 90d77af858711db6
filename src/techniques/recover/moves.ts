/** Candidates that recovery adds to a search: refitted layers, which need samples but no labels. */
import type { Moves } from "../../core/pass/moves.ts";

/** Work in runs of the model per sample. */
const fitting = 12;

export const recoverMoves: Moves = ({ samples: { calibrate } }) =>
  calibrate < 2
    ? []
    : [
        {
          name: "recovered",
          options: {},
          kind: "healing",
          family: "recovered",
          heals: 0.75,
          runs: fitting * calibrate,
        },
      ];
