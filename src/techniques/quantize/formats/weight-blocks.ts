/** Weights as codes in low-bit blocks with a scale and zero point each, packed as [outputs, inputs], low bits first. */
import { type Layer, nameBeforeMasking } from "#analysis";
import { type DataType, type Dense, deferTensor, float32, fromNumbers, inMemory, type Tensor, toFloat32 } from "#ir";
import type { SlicedWeight } from "../../calibrate/solver.ts";
import { type BlockRows, type BlockScales, blockCodes, blockScales, packRows } from "../../shared/blocks.ts";
import { centeredZeroPoints, findLattice, integerZeroPoints } from "../block-lattice.ts";
import { type BlockSettings, blockGrid } from "../grid.ts";
import { nearest } from "../rounders/nearest.ts";
import { areIntegers, type WeightsSettings } from "../settings.ts";
import { computeCodes, weightReader } from "../weights/round-weight.ts";
import {
  type MeasuredBlocks,
  type MeasuredWeight,
  type RoundingSource,
  withLayerName,
} from "../weights/rounding-source.ts";
import { sliceWeight } from "../weights/sliced-weight.ts";
import { computeScales } from "../weights/weight-scales.ts";
import { scaleAxis } from "../weights/weight-settings.ts";
import type { StoredCodes } from "./dequantize-linear.ts";
import { emitBeside, oncePerRun, type WriteRun } from "./format.ts";

const defaultBlock = 32;

export function blockSettings(options: Omit<WeightsSettings, "scheme">): BlockSettings | undefined {
  const { bits, block = bits < 8 ? defaultBlock : undefined, zeroPoints } = options;
  if (block === undefined || (bits !== 8 && bits !== 4 && bits !== 2) || !areIntegers(options)) return undefined;
  return { bits, block, symmetric: !zeroPoints };
}

export type StoredBlocks = Omit<RoundedBlocks, keyof StoredCodes> & StoredCodes;

const storeOnce = oncePerRun<StoredBlocks>();

/** @param flat whether the bytes of a row are along one axis: [rows, bytes] instead of [rows, blocks, bytes]. */
export const storeBlocks = (
  layer: Layer,
  settings: BlockSettings,
  run: WriteRun,
  flat = false,
): Promise<StoredBlocks> =>
  storeOnce(run, layer.effective, blocksKey(layer, settings), async () => {
    const name = nameBeforeMasking(layer.weight);
    const emit = emitBeside(layer, run);
    const { bits, symmetric, halfScales } = settings;
    const blocks = await roundBlocks(run, layer, settings, packedLayout(settings, flat));
    const { rows, count, scale, zeroPoint } = blocks;
    const zeros = packRows(zeroPoint, { width: count, block: 8 / bits, bits, fill: () => 2 ** (bits - 1) });
    return {
      ...blocks,
      codes: emit.constant(blocks.codes, `${name}_quantized`),
      scale: emit.constant(
        halfScales && isSame(scale, inHalf(scale))
          ? fromNumbers("float16", [rows, count], scale)
          : float32([rows, count], scale),
        `${name}_scale`,
      ),
      zeroPoint: symmetric
        ? undefined
        : emit.constant({ type: "uint8", dims: [rows, zeros.length / rows], data: zeros }, `${name}_zero_point`),
    };
  });

export const inHalf = (numbers: Float32Array): Float32Array =>
  toFloat32(fromNumbers("float16", [numbers.length], numbers));

const isSame = (a: Float32Array, b: Float32Array): boolean => a.every((number, index) => number === b[index]);

export const isNormalHalf = (numbers: Float32Array): boolean =>
  numbers.every((number) => number === 0 || (Math.abs(number) >= 2 ** -14 && Math.abs(number) <= 65504));

/** Rounds scales to float16, unless one is outside of its normal range. */
const roundToHalf = (scales: Float32Array): Float32Array => (isNormalHalf(scales) ? inHalf(scales) : scales);

export const packedLayout =
  ({ bits, block }: BlockSettings, flat: boolean) =>
  ({ rows, count }: BlockShape): BlockLayout => {
    const bytes = (block * bits) / 8;
    const dims = flat ? [rows, count * bytes] : [rows, count, bytes];
    return { type: "uint8", dims, toTensor: (data) => ({ type: "uint8", dims, data }) };
  };

/** Blocks of a weight: `rows` rows of `width` elements, in `count` blocks per row. Consecutive elements of a row share a scale. */
export interface BlockShape {
  readonly rows: number;
  readonly width: number;
  readonly count: number;
}

/** Converts packed quantized values (whole blocks per row, 0 … 2ᵇ - 1, low bits first) to the tensor that is stored. */
export interface BlockLayout {
  readonly type: Exclude<DataType, "string">;
  readonly dims: readonly number[];
  toTensor(packed: Uint8Array): Dense;
}

/** Scales and zero points are [rows, blocks]; symmetric blocks have the zero point 2ᵇ⁻¹. */
export interface RoundedBlocks extends BlockSettings, BlockShape, BlockScales {
  readonly codes: Tensor;
}

export function blockShape(layer: Layer, block: number): BlockShape {
  const dims = (layer.effective.type?.dims ?? []).map(Number);
  const rows = dims[scaleAxis(layer)] ?? 0;
  const width = dims.reduce((product, dim) => product * dim, 1) / rows;
  return { rows, width, count: Math.ceil(width / block) };
}

export async function roundBlocks(
  { rounding }: WriteRun,
  layer: Layer,
  settings: BlockSettings,
  layoutOf: (shape: BlockShape) => BlockLayout,
): Promise<RoundedBlocks> {
  const { bits, block: size } = settings;
  const { rounder } = rounding;
  const read = await weightReader(layer, rounding);
  const shape = blockShape(layer, size);
  const layout = layoutOf(shape);
  const round = async (): Promise<readonly [scales: BlockScales, codes: Tensor | undefined]> => {
    const measurement = measuredBlocks(layer, settings, rounding);
    const roundScales = <S extends BlockScales>(scales: S): S =>
      settings.halfScales === true ? { ...scales, scale: roundToHalf(scales.scale) } : scales;
    if (measurement?.isExact === true) return [measurement.scales, undefined];
    if (rounder.scales === nearest.scales && rounder.codes === undefined)
      return [roundScales(measurement?.scales ?? scalesOfBlocks(layer, await read(), settings)), undefined];
    const numbers = await read();
    return rounding.roundOnce(layer, numbers, { ...settings, layout: layout.dims }, async (layerContext) => {
      const weight = slicedBlocks(layer, numbers, size);
      const grid = blockGrid(settings);
      const scales = roundScales(await computeScales(rounder, grid, weight, layerContext));
      if (rounder.codes === undefined) return [scales, undefined];
      const codes = await computeCodes(rounder, { ...grid, ...scales }, weight, layerContext);
      const fill = (row: number): number => scales.zeroPoint[(row + 1) * shape.count - 1] ?? 0;
      const [matrix] = codes;
      const values = codes.length === 1 && matrix !== undefined ? matrix.data : codes.flatMap(({ data }) => [...data]);
      return [scales, inMemory(layout.toTensor(packRows(values, { width: shape.width, block: size, bits, fill })))];
    });
  };
  const [{ scale, zeroPoint }, computed] = await withLayerName(layer, round);
  const codesOf = nearestBlocks(read, rowsOf(layer), { size, bits, scale, zeroPoint }, layout);
  const codes = computed ?? (await deferTensor(layout.type, layout.dims, codesOf));
  return { ...settings, ...shape, codes, scale, zeroPoint };
}

/** Reads the blocks of a weight one by one. Its matrices are made only for methods that read them. */
function slicedBlocks(layer: Layer, dense: Dense, size: number): SlicedWeight {
  const { rows, width, areColumns } = rowsOf(layer);
  const count = Math.ceil(width / size);
  const [nextRow, next] = areColumns ? [1, rows] : [width, 1];
  const values = toFloat32(dense);
  let slicedWeight: SlicedWeight | undefined;
  const all = (): SlicedWeight => {
    slicedWeight ??= sliceWeight(layer, dense, rows, size);
    return slicedWeight;
  };
  return {
    slices: rows * count,
    get matrices() {
      return all().matrices;
    },
    sliceAt: (group, row, column) => all().sliceAt(group, row, column),
    like: (matrices) => all().like(matrices),
    numbers(slice) {
      const start = (slice % count) * size;
      const from = Math.floor(slice / count) * nextRow + start * next;
      const block = new Float64Array(size);
      const length = Math.min(size, width - start);
      for (let index = 0; index < length; index++) block[index] = values[from + index * next] ?? 0;
      return block;
    },
  };
}

// Defined here so that the closure does not keep a weight in memory: functions of one scope share their variables.
export const nearestBlocks =
  (read: () => Promise<Dense>, rows: BlockRows, scales: Parameters<typeof blockCodes>[2], layout: BlockLayout) =>
  async (): Promise<Dense> =>
    layout.toTensor(blockCodes(toFloat32(await read()), rows, scales));

export const blocksKey = (layer: Layer, { bits, block, symmetric, halfScales = false }: BlockSettings): string =>
  `${bits} ${block} ${symmetric} ${halfScales} ${scaleAxis(layer)}`;

const scalesOfBlocks = (layer: Layer, dense: Dense, { block: size, bits, symmetric }: BlockSettings) =>
  blockScales(toFloat32(dense), rowsOf(layer), { size, bits, symmetric });

/** Measures the blocks of a weight, also on the lattice of an earlier quantization. */
export function measureBlocks(
  layer: Layer,
  dense: Dense,
  settings: BlockSettings,
): MeasuredWeight & { readonly largest: number } {
  const { block: size, bits } = settings;
  const { largest, ...scales } = scalesOfBlocks(layer, dense, settings);
  const lattice = bits < 8 ? findLattice(toFloat32(dense), rowsOf(layer), { size, bits }) : undefined;
  const zeroPoint = lattice && integerZeroPoints(lattice, settings);
  const isExact = lattice !== undefined && zeroPoint !== undefined;
  return {
    largest,
    blocks: {
      key: blocksKey(layer, settings),
      scales: isExact ? { scale: lattice.scale, zeroPoint } : scales,
      isExact,
      lattice:
        isExact || lattice === undefined ? undefined : { ...lattice, zeroPoint: centeredZeroPoints(lattice, bits) },
    },
  };
}

/** Returns whether a weight was quantized before, so that blocks of this size keep its values. */
export const hasLattice = (layer: Layer, dense: Dense, settings: { readonly size: number; readonly bits: 4 }) =>
  findLattice(toFloat32(dense), rowsOf(layer), settings) !== undefined;

/** Returns real zero points that keep the values of a weight; undefined if integers do, or no zero points do. */
export const latticeOf = (layer: Layer, settings: BlockSettings, rounding: RoundingSource): BlockScales | undefined =>
  layer.effective.type?.type === "float32" ? measuredBlocks(layer, settings, rounding)?.lattice : undefined;

function measuredBlocks(
  layer: Layer,
  settings: BlockSettings,
  { measured }: RoundingSource,
): MeasuredBlocks | undefined {
  const { tensor } = layer.effective;
  const blocks = tensor && measured.get(tensor)?.blocks;
  return blocks?.key === blocksKey(layer, settings) ? blocks : undefined;
}

export const rowsOf = (layer: Layer): BlockRows => ({ ...blockShape(layer, 1), areColumns: scaleAxis(layer) !== 0 });

/** Embedding tables have no input statistics, so they are rounded to nearest. */
export function blocksText(
  settings: BlockSettings,
  layer: Layer,
  rounding: RoundingSource,
  hasOffsets = false,
): string {
  const { bits, block, symmetric } = settings;
  const { rounder } = rounding;
  const isNearest = rounder === nearest || (layer.role.kind === "lookup" && rounder.evidence !== undefined);
  const isKept = hasOffsets || measuredBlocks(layer, settings, rounding)?.isExact === true;
  const methodText = isKept ? ", which keep its values" : isNearest ? "" : `, rounded by ${rounder.id}`;
  const zeroText = hasOffsets ? " with offsets" : symmetric ? "" : " with zero points";
  return `weight in ${bits} bits, blocks of ${block}${zeroText}${methodText}`;
}
