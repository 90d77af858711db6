import { columnNorms } from "../../calibrate/norms.ts";
import type { Importance } from "./criterion.ts";

/**
 * |w| · ‖x‖₂, compared within each output (Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models").
 * Inputs are those of the unpruned model; the paper's code uses those after pruning earlier blocks.
 */
export const wanda = {
  id: "wanda",
  summary: "|w| · ‖x‖ of the inputs; each output loses the same share (needs samples)",
  pattern: "rows",
  evidence: columnNorms,
  scores: ({ matrices, evidence }) =>
    matrices().map(({ rows, columns, data }, group) => ({
      rows,
      columns,
      data: data.map((w, at) => Math.abs(w) * (evidence[group * columns + (at % columns)] ?? 0)),
    })),
} satisfies Importance<Float64Array>;
