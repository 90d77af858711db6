/** GPTQ (Frantar et al. 2022), as somebody would write it through public imports alone. */
import { type Gram, gramMatrices, type Solver } from "pith/calibrate";
import { operate, surgeonFor } from "pith/math";
import { nearest, nearestCode } from "pith/quantize";

export const obs: Solver<Gram> = {
  id: "obs",
  evidence: gramMatrices(),
  scales: nearest.scales,
  codes({ matrices, sliceAt }, grid, { evidence }) {
    const surgeons = evidence.groups.map((gram) => {
      const surgeon = surgeonFor(gram);
      if ("reason" in surgeon) throw new Error(surgeon.reason);
      return surgeon;
    });
    const codes = matrices.map((weight) => ({ ...weight, data: weight.data.slice() }));
    operate(matrices, surgeons, {
      becomes(group, row, column, value) {
        const slice = sliceAt(group, row, column);
        const code = nearestCode(grid, slice, value);
        const own = codes[group];
        if (own !== undefined) own.data[row * own.columns + column] = code;
        return (code - (grid.zeroPoint[slice] ?? 0)) * (grid.scale[slice] ?? 0);
      },
    });
    return codes;
  },
};
