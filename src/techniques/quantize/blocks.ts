/** Blocks of a layer's weight: the weight is a set of rows, and consecutive elements of a row share a scale. */
import type { Layer } from "../../core/analysis/layers.ts";
import { type BlockRows, type BlockScales, blockCodes, blockScales, packRows } from "../../core/math/index.ts";
import { toFloat32 } from "../../core/tensor/convert.ts";
import { deferred } from "../../core/tensor/deferred.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import type { DataType, Dense, Tensor } from "../../core/tensor/types.ts";
import type { Solver } from "../calibrate/solver.ts";
import type { Writing } from "./formats/format.ts";
import { type BlockSettings, blockGrid } from "./grid.ts";
import { nearest } from "./rounders/nearest.ts";
import { inSlices } from "./sliced-weight.ts";
import { checkedCodes, forLayer, type RoundingSource, scaleAxis, scalesBy, turn, weightReader } from "./weight.ts";

export interface BlockShape {
  readonly rows: number;
  readonly width: number;
  readonly count: number;
}

/** Packs quantized values (rows × whole blocks, 0 … 2ᵇ - 1) for the file, low bits first. */
export interface BlockLayout {
  readonly type: Exclude<DataType, "string">;
  readonly dims: readonly number[];
  of(packed: Uint8Array): Dense;
}

/** Scales and zero points are rows × blocks; symmetric blocks have the zero point 2ᵇ⁻¹. */
export interface RoundedBlocks extends BlockSettings, BlockShape, BlockScales {
  readonly codes: Tensor;
}

export function blockShape({ effective, ...layer }: Layer, block: number): BlockShape {
  const dims = (effective.type?.dims ?? []).map(Number);
  const rows = dims[scaleAxis({ effective, ...layer })] ?? 0;
  const width = dims.reduce((product, dim) => product * dim, 1) / rows;
  return { rows, width, count: Math.ceil(width / block) };
}

export async function roundedBlocks(
  { model, rounding, context }: Writing,
  layer: Layer,
  settings: BlockSettings,
  layoutOf: (shape: BlockShape) => BlockLayout,
): Promise<RoundedBlocks> {
  const { bits, block } = settings;
  const { rounder, knownOf, blockScales: found } = rounding;
  const read = await weightReader(model, layer, context.engine);
  const shape = blockShape(layer, block);
  const layout = layoutOf(shape);
  const known = await knownOf(layer);
  const given = async (): Promise<readonly [scales: BlockScales, codes: Tensor | undefined]> => {
    if (isNearest(rounder)) {
      const { tensor } = layer.effective;
      const own = tensor === undefined ? undefined : found.get(tensor);
      return [own?.of === blocksKey(layer, settings) ? own : scalesOf(layer, await read(), settings), undefined];
    }
    const weight = inSlices(layer, await read(), shape.rows, block);
    const grid = blockGrid(settings);
    const scales = await scalesBy(rounder, grid, weight, known);
    if (rounder.codes === undefined) return [scales, undefined];
    const codes = await checkedCodes(rounder, { ...grid, ...scales }, weight, known);
    const last = (row: number): number => scales.zeroPoint[(row + 1) * shape.count - 1] ?? 0;
    const [only] = codes;
    const rows = codes.length === 1 && only !== undefined ? only.data : codes.flatMap(({ data }) => [...data]);
    return [scales, inMemory(layout.of(packRows(rows, { width: shape.width, size: block, bits, fill: last })))];
  };
  const [{ scale, zeroPoint }, made] = await forLayer(layer, given);
  const nearest = nearestBlocks(read, rowsOf(layer), { size: block, bits, scale, zeroPoint }, layout);
  const codes = made ?? (await deferred(layout.type, layout.dims, nearest));
  return { ...settings, ...shape, codes, scale, zeroPoint };
}

// Defined here so that the closure does not keep a weight in memory: functions of one scope share their variables.
const nearestBlocks =
  (read: () => Promise<Dense>, rows: BlockRows, scales: Parameters<typeof blockCodes>[2], layout: BlockLayout) =>
  async (): Promise<Dense> =>
    layout.of(blockCodes(toFloat32(await read()), rows, scales));

export const isNearest = ({ scales, codes }: Solver): boolean => scales === nearest.scales && codes === undefined;

export const blocksKey = (layer: Layer, { bits, block, symmetric }: BlockSettings): string =>
  `${bits} ${block} ${symmetric} ${scaleAxis(layer)}`;

export const scalesOf = (layer: Layer, dense: Dense, { block, ...settings }: BlockSettings) =>
  blockScales(toFloat32(dense), rowsOf(layer), { ...settings, size: block });

const rowsOf = (layer: Layer): BlockRows => ({ ...blockShape(layer, 1), turned: scaleAxis(layer) !== 0 });

export function inRows(layer: Layer, dense: Dense): Float32Array {
  const { rows, width } = blockShape(layer, 1);
  const values = toFloat32(dense);
  if (scaleAxis(layer) === 0) return values;
  const turned = new Float32Array(rows * width);
  turn(values, turned, { rows: width, columns: rows });
  return turned;
}

/** Describes a weight in blocks. Embedding tables have no input statistics, so they are rounded to nearest. */
export function blocksText(
  { bits, block, symmetric }: BlockSettings,
  { role }: Layer,
  { rounder }: RoundingSource,
): string {
  const isBlind = rounder === nearest || (role.kind === "lookup" && rounder.evidence !== undefined);
  const by = isBlind ? "" : `, rounded by ${rounder.id}`;
  return `weight in ${bits} bits, blocks of ${block}${symmetric ? "" : " with zero points"}${by}`;
}
