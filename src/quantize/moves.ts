/** What quantization offers to a search: the ways in which numbers are stored, and computed with. */
import { type Move, type Moves, weightShare } from "../passes/moves.ts";
import type { OptionValues } from "../passes/pass.ts";

/** Runs of a sample that measuring ranges takes, and rounding by what the original answers. */
const [measuring, answering] = [6, 30];

export const quantizeMoves: Moves = (request) => {
  const share = weightShare(request);
  const { calibrate } = request.samples;
  const move = (name: string, bits: number, runs: number, options: OptionValues): Move => ({
    name,
    options,
    kind: "numbers",
    family: name,
    left: 1 - share * (1 - bits / 32),
    runs: runs * calibrate,
    spares: true,
  });
  return [
    ...(calibrate > 0 ? [move("int8 static", 8, measuring, { scheme: "static" })] : []),
    move("int8 dynamic", 8, 0, { scheme: "dynamic" }),
    move("int8 weights", 8, 0, { scheme: "weights" }),
    move("4 bits", 4, answering, { scheme: "weights", bits: 4 }),
    move("palettes of 4 bits", 4, 0, { scheme: "weights", bits: 4, weights: "palette" }),
    move("palettes of 3 bits", 3, 0, { scheme: "weights", bits: 3, weights: "palette" }),
    { ...move("float16", 16, 0, { scheme: "float16" }), spares: false },
  ];
};
