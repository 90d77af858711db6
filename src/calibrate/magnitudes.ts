import type { Statistic } from "./statistic.ts";

/**
 * The largest absolute value of each column: of what comes into a layer, how far each of its inputs reaches.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) console.log(layer.name, await seen.collect(layer, largestMagnitudes));
 * await seen.release();
 */
export const largestMagnitudes: Statistic<Float64Array> = {
  begin() {
    let largest = new Float64Array();
    return {
      add(batch) {
        const { columns, data } = batch.matrix();
        if (largest.length === 0) largest = new Float64Array(columns);
        for (let at = 0; at < data.length; at++) {
          const column = at % columns;
          largest[column] = Math.max(largest[column] ?? 0, Math.abs(data[at] ?? 0));
        }
      },
      end: () => largest,
    };
  },
};
