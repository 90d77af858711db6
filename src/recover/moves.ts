/** What recovery offers to a search: layers refitted to the original's, which needs samples and no labels. */
import type { Moves } from "../passes/moves.ts";

/** Runs of a sample for each that layers are fitted on. */
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
