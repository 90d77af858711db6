import type { Statistic } from "../../calibrate/statistic.ts";
import type { Importance } from "./criterion.ts";

const meanMagnitude: Statistic<Float64Array> = {
  begin() {
    let [sums, count] = [new Float64Array(), 0];
    return {
      add({ rows, columns, groups, inner, values }) {
        const [numbers, width] = [values(), columns * groups];
        if (count === 0) sums = new Float64Array(width);
        count += rows;
        for (let at = 0; at < numbers.length; at++) {
          const column = Math.floor(at / inner) % width;
          sums[column] = (sums[column] ?? 0) + Math.abs(numbers[at] ?? 0);
        }
      },
      end: () => sums.map((sum) => sum / Math.max(1, count)),
    };
  },
};

/** E|x| over samples and positions of a channel at the inputs of layers (Molchanov et al. 2017, "Pruning Convolutional Neural Networks"). */
export const activation = {
  id: "activation",
  summary: "E|x|, the mean activation of a channel at the inputs of later layers (needs samples)",
  evidence: { ...meanMagnitude, of: "activations" },
  units: ({ mean }) => mean("activations", ({ evidence }) => evidence),
} satisfies Importance<Float64Array>;
