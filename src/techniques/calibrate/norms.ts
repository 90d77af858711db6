import type { Statistic } from "./statistic.ts";

/**
 * ‖x‖₂ of each column over all rows.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) console.log(layer.name, await seen.collect(layer, columnNorms));
 * await seen.release();
 */
export const columnNorms: Statistic<Float64Array> = {
  begin() {
    let squares = new Float64Array();
    return {
      add({ columns, groups, inner, values }) {
        const [numbers, width] = [values(), columns * groups];
        if (squares.length === 0) squares = new Float64Array(width);
        for (let start = 0; start < numbers.length; start += width * inner)
          for (let column = 0; column < width; column++) {
            let sum = 0;
            for (let at = start + column * inner; at < start + (column + 1) * inner; at++)
              sum += (numbers[at] ?? 0) ** 2;
            squares[column] = (squares[column] ?? 0) + sum;
          }
      },
      end: () => squares.map(Math.sqrt),
    };
  },
};
