import { allLayers } from "../analysis/layers.ts";
import { storedBytes } from "../graph/graph.ts";
import type { Move, Moves } from "../passes/moves.ts";
import type { OptionValues } from "../passes/pass.ts";
import { runsOfSample } from "./options.ts";
import { rdoq } from "./rounders/rdoq.ts";

/** Runs per sample that measuring the layers' errors takes. */
const runsOfErrors = 2000;
/** Distortions of low-entropy values to try, and their approximate bits per weight after brotli. */
const lowEntropy = [
  [0.005, 3],
  [0.01, 2.4],
  [0.02, 2],
  [0.04, 1.6],
] as const;
/** Approximate bytes of the nodes, names and scales of a low-bit layer. */
const bytesOfLayer = 1000;

export const quantizeMoves: Moves = (request) => {
  const { target, bytes, model, inference } = request;
  const weights = new Set(allLayers(model, inference).flatMap(({ weight }) => weight.tensor ?? []));
  const whole = Math.max(1, storedBytes(model.graph));
  const share = [...weights].reduce((sum, tensor) => sum + tensor.bytes, 0) / whole;
  const { calibrate } = request.samples;
  // WebGPU has no integer kernels: activations would move to the processor and back for each layer.
  const onIntegers = !target.includes("webgpu");
  /** @param table bytes per layer besides the quantized values. */
  const move = (name: string, bits: number, options: OptionValues, table = 0): Move => {
    const fixed = 1 - share + (weights.size * (bytesOfLayer + table)) / whole;
    return {
      name,
      options: target.length === 0 ? options : { ...options, target },
      kind: "numbers",
      family: name,
      left: fixed + (share * bits) / 32,
      fixed,
      runs: runsOfSample(options) * calibrate,
      spares: true,
    };
  };
  const palettes = (bits: number): Move => {
    // 3-bit values are unpacked in two planes.
    const table = 4 * 2 ** bits + (bits === 3 ? bytesOfLayer : 0);
    return move(`palettes of ${bits} bits`, bits, { scheme: "weights", bits, weights: "palette" }, table);
  };
  const fitting = (most: number): Move => ({
    ...move(`mixed precision in ${Number((most / 1000).toFixed(1))} kB`, 4, { scheme: "weights" }),
    left: most / whole,
    runs: runsOfErrors + runsOfSample({ scheme: "weights", bits: 4 }) * calibrate,
    bytes: most,
  });
  /** Sizes are those of the download. Lower distortions serve as its fallback. */
  const lowEntropyIn = (scheme: "static" | "weights"): readonly Move[] =>
    lowEntropy.map(([distortion, bits]) => ({
      ...move(`low-entropy int8 ${scheme}, distortion ${distortion}`, bits, { scheme, rounder: rdoq.id, distortion }),
      family: `low-entropy int8 ${scheme}`,
      spares: false,
    }));
  const fourBits = move("4 bits", 4, { scheme: "weights", bits: 4 });
  return [
    ...(onIntegers && calibrate > 0
      ? [
          move("int8 static", 8, { scheme: "static" }),
          // Fewer scales, and no worse for some networks.
          move("int8 static per tensor", 8, { scheme: "static", perChannel: false }),
        ]
      : []),
    ...(onIntegers ? [move("int8 dynamic", 8, { scheme: "dynamic" })] : []),
    move("int8 weights", 8, { scheme: "weights" }),
    // Lossless for layers with at most 256 distinct values.
    palettes(8),
    fourBits,
    // Training moves the values of a palette; the indices stay.
    ...[4, 3, 2].map((bits) => ({ ...palettes(bits), isTrainable: true, needsTraining: bits === 2 })),
    bytes === undefined ? fitting(Math.round((fourBits.left ?? 1) * whole)) : { ...fitting(bytes), isTrainable: true },
    ...(request.forDownload === true && calibrate > 0
      ? [...(onIntegers ? lowEntropyIn("static") : []), ...lowEntropyIn("weights")]
      : []),
    { ...move("float16", 16, { scheme: "float16" }), spares: false },
  ];
};
