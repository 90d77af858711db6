/**
 * A matrix product whose weight is packed in low-bit blocks:
 *
 *     h = Gemm(x, fc1.weight, fc1.bias)       h = Add(MatMulNBits(x, fc1.weight_quantized, _scale, _zero_point) {K, N, bits, block_size}, fc1.bias)
 *
 * The weight is outputs × inputs, low bits first; zero points of each row are byte-aligned, and the symmetric 2ᵇ⁻¹ is omitted.
 * Activations are rounded to 8 bits (`accuracy_level` 4): without, ONNX Runtime's kernels for 2 and 8 bits are 80 to 300 times
 * slower and those for 4 bits 3.6 times. The products change by less than 0.5 % of the largest.
 */
import type { Layer } from "../../../core/analysis/layers.ts";
import { plainName } from "../../../core/analysis/masks.ts";
import { Miss } from "../../../core/errors.ts";
import { packRows } from "../../../core/math/index.ts";
import { float32 } from "../../../core/tensor/dense.ts";
import {
  type BlockLayout,
  type BlockShape,
  blocksKey,
  blocksText,
  type RoundedBlocks,
  roundedBlocks,
} from "../blocks.ts";
import type { BlockSettings } from "../grid.ts";
import type { QuantizeSettings } from "../options.ts";
import { rounders } from "../rounders/index.ts";
import type { Target } from "../target.ts";
import { areIntegers } from "../weight.ts";
import type { StoredCodes } from "./dequantize-linear.ts";
import { beside, type Form, type Format, oncePerRun, type Writing } from "./format.ts";
import { matrixAt, writeProduct } from "./product.ts";

const accuracy = 4;
const usualBlock = 32;

export function blocksIn(own: BlockOptions): BlockSettings | undefined {
  const { bits, block = bits < 8 ? usualBlock : undefined, zeroPoints, rounder } = own;
  if (block === undefined || (bits !== 8 && bits !== 4 && bits !== 2)) return undefined;
  if (!areIntegers(own)) return undefined;
  const zeros = zeroPoints === true || (rounder !== undefined && rounders.of(rounder).zeroPoints === true);
  return { bits, block, symmetric: !zeros };
}

type BlockOptions = Pick<QuantizeSettings, "bits"> &
  Partial<Pick<QuantizeSettings, "block" | "weights" | "zeroPoints" | "rounder">>;

export const inBlocks: Format = {
  what: "blocks",
  formOf(layer, own, inference) {
    const settings = blocksIn(own);
    if (settings === undefined || own.onnxOnly) return undefined;
    const target = matrixAt(layer, inference);
    return target instanceof Miss ? target : blocksForm(settings, target);
  },
};

export const blocksForm = (settings: BlockSettings, target: Target): Form => ({
  bits: settings.bits,
  blocks: settings,
  text: (layer, { rounding }) => blocksText(settings, layer, rounding),
  async write(emit, { layer, table = layer }, run) {
    const { codes, scale, zeroPoint, width, rows, bits, block } = await blocksOf(table, settings, run);
    const attributes = { K: width, N: rows, bits, block_size: block };
    const isInside = layer.node.graph.parent !== undefined;
    await writeProduct(emit, target, run, (emit, data) => {
      // ONNX Runtime (CPU, 1.24 to 1.30) computes a float16 node in float32 if no neighbor has a float16 kernel, and casts its
      // scales. With the level the product fails unless these casts are folded, which does not happen in subgraphs.
      const level = isInside && data.type?.type === "float16" ? {} : { accuracy_level: accuracy };
      return emit["com.microsoft.MatMulNBits"]([data, codes, scale, zeroPoint], { ...attributes, ...level });
    });
  },
});

export type StoredBlocks = Omit<RoundedBlocks, keyof StoredCodes> & StoredCodes;

const stored = oncePerRun<StoredBlocks>();

/** @param flat the blocks of a row have no separate axis. */
export const blocksOf = (layer: Layer, settings: BlockSettings, run: Writing, flat = false): Promise<StoredBlocks> =>
  stored(run, layer.effective, blocksKey(layer, settings), async () => {
    const name = plainName(layer.weight);
    const emit = beside(layer, run);
    const { bits, symmetric } = settings;
    const blocks = await roundedBlocks(run, layer, settings, packedLayout(settings, flat));
    const { rows, count, scale, zeroPoint } = blocks;
    const zeros = packRows(zeroPoint, { width: count, size: 8 / bits, bits, fill: () => 2 ** (bits - 1) });
    return {
      ...blocks,
      codes: emit.constant(blocks.codes, `${name}_quantized`),
      scale: emit.constant(float32([rows, count], scale), `${name}_scale`),
      zeroPoint: symmetric
        ? undefined
        : emit.constant({ type: "uint8", dims: [rows, zeros.length / rows], data: zeros }, `${name}_zero_point`),
    };
  });

const packedLayout =
  ({ bits, block }: BlockSettings, flat: boolean) =>
  ({ rows, count }: BlockShape): BlockLayout => {
    const bytes = (block * bits) / 8;
    const dims = flat ? [rows, count * bytes] : [rows, count, bytes];
    return { type: "uint8", dims, of: (data) => ({ type: "uint8", dims, data }) };
  };
