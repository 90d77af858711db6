/**
 * A weight that was quantized before with a real zero point z per block (`block-lattice.ts`) keeps its values by offsets o = s · (2ᵇ⁻¹ − z):
 *
 *     h = Add(MatMulNBits(x, …), MatMul(MatMul(x, blocks), offset))        blocks: 1 in the rows of each block, so that x is summed over it
 */
import { type Layer, nameBeforeMasking } from "#analysis";
import { type Dense, deferTensor, type Emit, float32, fromNumbers, type Value } from "#ir";
import type { BlockSettings } from "../grid.ts";
import { weightReader } from "../weights/round-weight.ts";
import { emitBeside, oncePerRun, type WriteRun } from "./format.ts";
import {
  blockShape,
  blocksKey,
  inHalf,
  isNormalHalf,
  latticeOf,
  nearestBlocks,
  packedLayout,
  rowsOf,
  type StoredBlocks,
} from "./weight-blocks.ts";

interface OffsetBlocks extends StoredBlocks {
  /** One offset per block and row, as a matrix [blocks, rows]. */
  readonly offset: Value;
}

const storedOffsets = oncePerRun<OffsetBlocks | undefined>();

/** @param smallType type of scales and offsets if it holds them: the runtime casts float16 once, at load, but not in subgraphs. */
export const offsetsOf = (
  layer: Layer,
  settings: BlockSettings,
  run: WriteRun,
  smallType: "float16" | "float32",
): Promise<OffsetBlocks | undefined> =>
  storedOffsets(run, layer.effective, `${smallType} ${blocksKey(layer, settings)}`, async () => {
    const lattice = latticeOf(layer, settings, run.rounding);
    if (lattice === undefined) return undefined;
    const { scale, zeroPoint } = lattice;
    const { bits, block: size } = settings;
    const name = nameBeforeMasking(layer.weight);
    const emit = emitBeside(layer, run);
    const shape = blockShape(layer, size);
    const { rows, count } = shape;
    const offset = new Float32Array(count * rows);
    for (const [block, zero] of zeroPoint.entries())
      offset[(block % count) * rows + Math.floor(block / count)] = (scale[block] ?? 0) * (2 ** (bits - 1) - zero);
    // In float16, an offset of 64 steps is off by a 32nd of a step at most.
    const fitsHalf =
      isNormalHalf(scale) && zeroPoint.every((zero) => Math.abs(zero) <= 64) && inHalf(offset).every(Number.isFinite);
    const type = fitsHalf ? smallType : "float32";
    const layout = packedLayout(settings, false)(shape);
    const read = await weightReader(layer, run);
    const codes = await deferTensor(
      layout.type,
      layout.dims,
      nearestBlocks(read, rowsOf(layer), { size, bits, ...lattice }, layout),
    );
    return {
      ...settings,
      ...shape,
      zeroPoint: undefined,
      codes: emit.constant(codes, `${name}_quantized`),
      scale: emit.constant(fromNumbers(type, [rows, count], scale), `${name}_scale`),
      offset: emit.constant(fromNumbers(type, [count, rows], offset), `${name}_offset`),
    };
  });

const blockSums = oncePerRun<Map<number, Value>>();
const blockIndicators = oncePerRun<Value>();

/** Sums an activation over each block, once per graph: a product with the matrix whose column b is 1 in the rows of block b. */
export async function sumsOf(
  emit: Emit,
  data: Value,
  layer: Layer,
  offsets: OffsetBlocks,
  run: WriteRun,
): Promise<Value> {
  const { width, block } = offsets;
  const sums = await blockSums(run, data, layer.node.graph, async () => new Map());
  const indicator = await blockIndicators(run, layer.weight.graph, `${width} ${block}`, async () =>
    emitBeside(layer, run).constant(blockIndicator(offsets), `blocks_of_${block}`),
  );
  const sum = sums.get(block) ?? emit.named(`${data.name}_block_sums`).MatMul([data, indicator]);
  sums.set(block, sum);
  return sum;
}

function blockIndicator({ width, count, block }: OffsetBlocks): Dense {
  const values = new Float32Array(width * count);
  for (let column = 0; column < width; column++) values[column * count + Math.floor(column / block)] = 1;
  return float32([width, count], values);
}
