/**
 * A matrix product whose weight is packed in low-bit blocks:
 *
 *     h = Gemm(x, fc1.weight, fc1.bias)       h = Add(MatMulNBits(x, fc1.weight_quantized, _scale, _zero_point) {K, N, bits, block_size}, fc1.bias)
 *
 * Activations are rounded to 8 bits (`accuracy_level` 4), because ONNX Runtime's other kernels are several times slower.
 */
import { isInSubgraph } from "#analysis";
import { Miss, typeCodes, type Value } from "#ir";
import type { BlockSettings } from "../grid.ts";
import type { Target } from "../quantizable.ts";
import { offsetsOf, sumsOf } from "./block-offsets.ts";
import type { Format, FormatFactory } from "./format.ts";
import { requireMatrix, writeProduct } from "./matrix-product.ts";
import { blockSettings, blocksText, latticeOf, storeBlocks } from "./weight-blocks.ts";

const int8Accuracy = 4;

export const blocksFor: FormatFactory = (layer, options, inference) => {
  const settings = blockSettings(options);
  if (settings === undefined || options.onnxOnly) return undefined;
  const target = requireMatrix(layer, inference);
  // The runtime folds casts of constants in the main graph only.
  const halfScales = options.halfScales === true && !isInSubgraph(layer) && layer.effective.type?.type === "float32";
  return target instanceof Miss ? target : nbitsFormat({ ...settings, halfScales }, target);
};

/** @param isTied whether the layer reads the blocks of a table, which have no offsets. */
export const nbitsFormat = (settings: BlockSettings, target: Target, isTied = false): Format => ({
  bits: settings.bits,
  blocks: settings,
  text(layer, { rounding }) {
    const hasOffsets = !isTied && latticeOf(layer, settings, rounding) !== undefined;
    return blocksText(settings, layer, rounding, hasOffsets);
  },
  async write(emit, { layer, table = layer }, run) {
    const inSubgraph = isInSubgraph(layer);
    const offsets = !isTied ? await offsetsOf(layer, settings, run, inSubgraph ? "float32" : "float16") : undefined;
    const { codes, scale, zeroPoint, width, rows, bits, block } = offsets ?? (await storeBlocks(table, settings, run));
    const attributes = { K: width, N: rows, bits, block_size: block };
    await writeProduct(emit, target, run, async (emit, data) => {
      // Quirk "level-in-branch": the runtime casts such a node to float32 with its scales, and does not fold these casts in subgraphs.
      const level = inSubgraph && data.type?.type === "float16" ? {} : { accuracy_level: int8Accuracy };
      const toFloat = (value: Value): Value =>
        value.type?.type === "float16" && data.type?.type !== "float16"
          ? emit.Cast([value], { to: typeCodes.float32 })
          : value;
      const operands = [data, codes, toFloat(scale), zeroPoint];
      const product = emit["com.microsoft.MatMulNBits"](operands, { ...attributes, ...level });
      if (offsets === undefined) return { product };
      const sums = await sumsOf(emit, data, layer, offsets, run);
      return { product: emit.Add([product, emit.MatMul([sums, toFloat(offsets.offset)])]), named: product };
    });
  },
});
