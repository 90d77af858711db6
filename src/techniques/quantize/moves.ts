/**
 * Lists the number formats that a search tries for a model, with estimates from shapes alone. A file in b bits has about the share
 *     fixed + share · b / 32
 * of the original bytes. `share` is the share of the weights, `fixedShare` the rest with scales and names.
 */
import { allLayers } from "#analysis";
import { storedBytes } from "#ir";
import type { Move, MovesRequest, OptionValues } from "#pass";
import { runsPerSample } from "./options.ts";
import { distortions } from "./precision-fallback.ts";
import { rdoq } from "./rounders/rdoq.ts";

/** Work of measuring the layers' errors, in runs of the model on one sample. */
const errorMeasurementRuns = 2000;
/** Approximate bytes of the nodes, names and scales of a low-bit layer, in the file and after brotli. */
const [plainBytes, packedBytes] = [1000, 300];
/** Distortion with about the loss of a usual format. Networks differ by a factor of 10. */
const typicalDistortion = 0.003;
/** Approximate bits per weight after brotli, such as 2.4 for 0.01. Each halving of a small distortion adds half a bit. */
const bitsAt = (distortion: number): number => Math.log2(1 + 0.28 / distortion) / 2;

export function quantizeMoves(request: MovesRequest): readonly Move[] {
  const { target, bytes, model, inference } = request;
  const weights = new Set(allLayers(model, inference).flatMap(({ weight }) => weight.tensor ?? []));
  const modelBytes = Math.max(1, storedBytes(model.graph));
  const share = [...weights].reduce((sum, tensor) => sum + tensor.bytes, 0) / modelBytes;
  const { calibrate } = request.samples;
  const bytesOfLayer = request.forDownload === true ? packedBytes : plainBytes;
  // WebGPU has no integer kernels: activations would be copied to the processor and back for each layer.
  const onIntegers = !target.includes("webgpu");
  /** @param table Bytes per layer in addition to the quantized values. */
  const move = (name: string, bits: number, options: OptionValues, table = 0): Move => {
    const fixedShare = 1 - share + (weights.size * (bytesOfLayer + table)) / modelBytes;
    return {
      name,
      options: target.length === 0 ? options : { ...options, target },
      kind: "numbers",
      family: name,
      sizeShare: fixedShare + (share * bits) / 32,
      fixedShare: fixedShare,
      runs: runsPerSample(options) * calibrate,
      fallsBack: true,
    };
  };
  const palettes = (bits: number): Move => {
    // 3-bit values are unpacked in two planes.
    const table = 4 * 2 ** bits + (bits === 3 ? bytesOfLayer : 0);
    return move(`palettes of ${bits} bits`, bits, { scheme: "weights", bits, weights: "palette" }, table);
  };
  const fitting = (maxBytes: number): Move => ({
    ...move(`mixed precision in ${Number((maxBytes / 1000).toFixed(1))} kB`, 4, { scheme: "weights" }),
    sizeShare: maxBytes / modelBytes,
    runs: errorMeasurementRuns + runsPerSample({ scheme: "weights", bits: 4 }) * calibrate,
    bytes: maxBytes,
  });
  const int8 = move("int8 weights", 8, { scheme: "weights" });
  const float16: Move = { ...move("float16", 16, { scheme: "float16" }), fallsBack: false };
  // For the same loss, low-entropy values need fewer bytes after compression. Integer arithmetic loses more.
  if (request.forDownload === true && calibrate > 0) {
    const lowEntropy = distortions.map((distortion): Move => {
      const options = { scheme: "weights", rounder: rdoq.id, distortion };
      return {
        ...move(`low-entropy int8, distortion ${distortion}`, bitsAt(distortion), options),
        family: "low-entropy int8",
        relativeLoss: distortion / typicalDistortion,
        // The lower distortions in this list serve as its fallback.
        fallsBack: false,
      };
    });
    return [int8, palettes(8), { ...palettes(4), fallsBack: false }, ...lowEntropy, float16];
  }
  const fourBits = move("4 bits", 4, { scheme: "weights", bits: 4 });
  const isStatic = onIntegers && calibrate > 0;
  return [
    ...(isStatic ? [move("int8 static", 8, { scheme: "static" })] : []),
    ...(onIntegers ? [move("int8 dynamic", 8, { scheme: "dynamic" })] : []),
    int8,
    // This format has fewer scales, and its loss is no higher for some networks.
    ...(isStatic ? [move("int8 static per tensor", 8, { scheme: "static", perChannel: false })] : []),
    // A palette is lossless for layers with at most 256 distinct values.
    palettes(8),
    fourBits,
    // Training changes the values of a palette; the indices do not change.
    ...[4, 3, 2].map((bits) => ({ ...palettes(bits), isTrainable: true, needsTraining: bits === 2 })),
    float16,
    bytes === undefined
      ? fitting(Math.round((fourBits.sizeShare ?? 1) * modelBytes))
      : { ...fitting(bytes), isTrainable: true },
  ];
}
