/** A layer's weight in blocks of few bits: rows of the numbers that share scales, and in each so many numbers in a row that share one. */
import type { Layer } from "../analysis/layers.ts";
import { type BlockBits, type BlockRows, blockCodes, blockRanges } from "../math/index.ts";
import { toFloat32, toNumbers } from "../tensor/convert.ts";
import { deferred } from "../tensor/deferred.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import type { DataType, Dense, Tensor } from "../tensor/types.ts";
import type { Run } from "./formats/format.ts";
import { blockGrid, type ScaledGrid } from "./grid.ts";
import {
  checkedCodes,
  type Evidence,
  forLayer,
  ofRanges,
  scaleAxis,
  turn,
  weightReader,
  withScales,
} from "./weight.ts";

export interface BlockSettings {
  readonly bits: BlockBits;
  /** Inputs that share a scale. */
  readonly block: number;
  /** Without zero points. */
  readonly symmetric: boolean;
}

export interface BlockShape {
  readonly rows: number;
  readonly width: number;
  /** Blocks of a row. */
  readonly count: number;
}

/** How codes lie in the file: they are given as rows × whole blocks, from 0 to 2ᵇ - 1. */
export interface BlockLayout {
  readonly type: Exclude<DataType, "string">;
  readonly dims: readonly number[];
  pack(codes: ArrayLike<number>): Dense;
}

/** Scales and zero points are rows × blocks; symmetric blocks have 2ᵇ⁻¹ as zero points. */
export interface RoundedBlocks extends BlockSettings, BlockShape {
  readonly codes: Tensor;
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

export function blockShape({ effective, ...layer }: Layer, block: number): BlockShape {
  const dims = (effective.type?.dims ?? []).map(Number);
  const rows = dims[scaleAxis({ effective, ...layer })] ?? 0;
  const width = dims.reduce((product, dim) => product * dim, 1) / rows;
  return { rows, width, count: Math.ceil(width / block) };
}

/** The weight of a product in blocks along its inputs, or a table in blocks along its rows. */
export async function roundedBlocks(
  { model, rounding, context }: Run,
  layer: Layer,
  settings: BlockSettings,
  layoutOf: (shape: BlockShape) => BlockLayout,
): Promise<RoundedBlocks> {
  const { bits, block, symmetric } = settings;
  const { rounder, evidenceOf } = rounding;
  const read = await weightReader(model, layer, context.engine);
  const shape = blockShape(layer, block);
  const { type, dims, pack } = layoutOf(shape);
  const grid = blockGrid(bits, block, symmetric);
  const known = { layer, evidence: await evidenceOf(layer) };
  const dense = await read();
  const given = async (): Promise<readonly [grid: ScaledGrid, codes: Tensor | undefined]> => {
    if (rounder.ofRange !== undefined && rounder.codes === undefined)
      return [ofRanges(rounder, grid, blockRanges(toFloat32(dense), rowsOf(layer, shape), block)), undefined];
    const blocks = inBlocks(layer, dense, block);
    const scaled = await withScales(rounder, grid, blocks, known);
    if (rounder.codes === undefined) return [scaled, undefined];
    return [scaled, inMemory(pack(toNumbers(await checkedCodes(rounder, scaled, blocks, known))))];
  };
  const [{ scale, zeroPoint }, made] = await forLayer(layer, given);
  const nearest = nearestBlocks(read, rowsOf(layer, shape), { size: block, bits, scale, zeroPoint }, pack);
  return { ...settings, ...shape, codes: made ?? (await deferred(type, dims, nearest)), scale, zeroPoint };
}

const rowsOf = (layer: Layer, { rows, width }: BlockShape): BlockRows => ({
  rows,
  width,
  turned: scaleAxis(layer) !== 0,
});

// Made where no weight is in scope: a function holds all that any function beside it uses.
const nearestBlocks =
  (read: () => Promise<Dense>, rows: BlockRows, scales: Parameters<typeof blockCodes>[2], pack: BlockLayout["pack"]) =>
  async (): Promise<Dense> =>
    pack(blockCodes(toFloat32(await read()), rows, scales));

/** Blocks × numbers, rows filled up with zeros. */
function inBlocks(layer: Layer, dense: Dense, block: number): Dense<"float32"> {
  const { rows, count } = blockShape(layer, block);
  return float32([rows * count, block], inRows(layer, dense, count * block));
}

/** The numbers of each output, or of each row of a table, one after the other, filled up with zeros to `whole`. */
export function inRows(layer: Layer, dense: Dense, whole: number): Float32Array {
  const { rows, width } = blockShape(layer, 1);
  const values = toFloat32(dense);
  const isTurned = scaleAxis(layer) !== 0;
  if (!isTurned && whole === width) return values;
  const filled = new Float32Array(rows * whole);
  if (isTurned) turn(values, filled, { rows: width, columns: rows, width: whole });
  else for (let y = 0; y < rows; y++) filled.set(values.subarray(y * width, (y + 1) * width), y * whole);
  return filled;
}

/** What is said of a weight in blocks. */
export function blocksText({ bits, block, symmetric }: BlockSettings, { rounder }: Evidence): string {
  const by = rounder.id === "nearest" ? "" : `, rounded by ${rounder.id}`;
  return `weight in ${bits} bits, blocks of ${block}${symmetric ? "" : " with zero points"}${by}`;
}
