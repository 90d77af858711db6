/**
 * An embedding table whose rows are packed in low-bit blocks:
 *
 *     h = Gather(embed.weight, ids)     h = GatherBlockQuantized(embed.weight_quantized, ids, _scale, _zero_point) {bits, block_size, quantize_axis=1}
 *
 * The bytes equal those of MatMulNBits with the rows as outputs, so a tied last layer shares them: they are stored as rows ×
 * blocks × bytes and reshaped here. The WebGPU build of ONNX Runtime, which transformers.js loads in browsers, lacks the operator
 * on the CPU. `everywhere` writes instead
 *
 *     h = (unpacked(Gather(_quantized, ids)) - unpacked(Gather(_zero_point, ids))) · Gather(_scale, ids)      # 4 bits, high = ⌊byte / 16⌋
 */
import type { Layer } from "#analysis";
import { type Emit, int64, Miss, typeCodes, type Value } from "#ir";
import { quirks } from "../../../core/quirks.ts";
import type { BlockSettings } from "../grid.ts";
import { type Lacks, missingSupportOf } from "../runtimes.ts";
import { integerWeight } from "../weights/weight-settings.ts";
import { codesFormat } from "./dequantize-linear.ts";
import type { Format, FormatFactory } from "./format.ts";
import { pickRows } from "./lookup.ts";
import { nbitsFormat } from "./matmul-nbits.ts";
import { requireMatrix } from "./matrix-product.ts";
import { blockSettings, blocksText, type StoredBlocks, storeBlocks } from "./weight-blocks.ts";

const smallestBlock = 16;
const lacks: Lacks = { wasm: `ONNX Runtime ${quirks["web-lookup"]}` };

export const rowBlocksFor: FormatFactory = (layer, options) => {
  const requestedBlocks = blockSettings(options);
  if (requestedBlocks === undefined || options.onnxOnly || layer.role.kind !== "lookup") return undefined;
  const { block } = requestedBlocks;
  const width = layer.outputs;
  if (width % block > 0)
    return new Miss(`rows of ${width} numbers are not a multiple of the block size ${block}`, layer.name);
  // No released runtime reads 2-bit rows. Zero points are always stored: runtimes differ in the default.
  const bits = requestedBlocks.bits === 2 ? 4 : requestedBlocks.bits;
  // A row needs an even number of blocks (quirk "odd-zero-points").
  const evenBlock = bits === 4 && (width / block) % 2 === 1 ? block / 2 : block;
  if (evenBlock < smallestBlock)
    return new Miss(`rows of ${width} numbers are an odd number of blocks of ${block}`, layer.name);
  const settings = { bits, block: evenBlock, symmetric: false } as const;
  const everywhere = options.everywhere === true || missingSupportOf(lacks, options) !== undefined;
  return rowsFormat(settings, codesFormat(integerWeight(options)), everywhere);
};

const rowsFormat = (settings: BlockSettings, fallback: Format, everywhere: boolean): Format => ({
  bits: settings.bits,
  blocks: settings,
  fallback,
  text: (layer, { rounding }) => blocksText(settings, layer, rounding),
  async write(emit, { layer, isShared }, run) {
    const indices = layer.node.inputs[layer.role.data];
    const rank = everywhere && indices !== undefined ? run.inference.operand(indices)?.dims?.length : undefined;
    writeRows(emit, layer, await storeBlocks(layer, settings, run, isShared !== true), rank);
  },
  tied(product, ownFormat, inference) {
    if (ownFormat.onCodes !== undefined) return undefined;
    const target = requireMatrix(product, inference);
    return target instanceof Miss ? target : nbitsFormat(settings, target, true);
  },
});

/** @param rank rank of the indices if standard operators select the rows; undefined for GatherBlockQuantized. */
function writeRows(emit: Emit, layer: Layer, storedBlocks: StoredBlocks, rank: number | undefined): void {
  const { codes, scale, zeroPoint, rows: length, bits, block } = storedBlocks;
  const table =
    codes.type?.dims?.length === 2
      ? codes
      : emit.named(`${codes.name}_rows`).Reshape([codes, emit.constant(int64([2], [length, -1]), "rows")]);
  pickRows(emit, layer, (indices, output) => {
    const rows =
      rank !== undefined && zeroPoint !== undefined
        ? standardRows(emit, { ...storedBlocks, codes: table, zeroPoint }, indices, rank)
        : emit
            .named(`${output}_rows`)
            ["com.microsoft.GatherBlockQuantized"]([table, indices, scale, zeroPoint], {
              bits,
              block_size: block,
              gather_axis: layer.role.in,
              quantize_axis: layer.role.out,
            });
    return { rows, numbers: rows };
  });
}

function standardRows(
  emit: Emit,
  { codes, scale, zeroPoint, bits, block }: StoredBlocks & { readonly zeroPoint: Value },
  indices: Value,
  rank: number,
): Value {
  const reshape = (value: Value, ...last: readonly number[]): Value => {
    const dims = [...Array<number>(rank).fill(0), ...last];
    return emit.Reshape([value, emit.constant(int64([dims.length], dims), "blocks")]);
  };
  const gatherRows = (stored: Value): Value => emit.Gather([stored, indices], { axis: 0 });
  const difference = emit.Sub([
    reshape(unpackBytes(emit, gatherRows(codes), bits), -1, block),
    reshape(unpackBytes(emit, gatherRows(zeroPoint), bits), -1, 1),
  ]);
  return reshape(emit.Mul([difference, reshape(gatherRows(scale), -1, 1)]), -1);
}

/** Unpacks bytes; 4-bit values become pairs along a new last axis. */
function unpackBytes(emit: Emit, bytes: Value, bits: number): Value {
  const numbers = emit.Cast([bytes], { to: typeCodes.float32 });
  if (bits === 8) return numbers;
  const high = emit.Floor([emit.Mul([numbers, 1 / 16])]);
  const last = emit.constant(int64([1], [-1]), "last");
  const halves = [emit.Sub([numbers, emit.Mul([high, 16])]), high];
  return emit.Concat(
    halves.map((half) => emit.Unsqueeze([half, last])),
    { axis: -1 },
  );
}
