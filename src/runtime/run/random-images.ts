/**
 * Random images of blocks of several sizes, so that filters have nonzero outputs and images differ. A field is a sum of levels: level l
 * has up to 2^l blocks per side. It is computed on cells, the blocks of the last level, and then enlarged to pixels.
 */
import type { Random } from "#ir";

export interface Sides {
  readonly channel: number;
  readonly sides: readonly number[];
}

/** Returns the axes of images: N×C×H×W, N×H×W×C, or volumes. */
export function imageSides(dims: readonly number[]): Sides | undefined {
  if (dims.length !== 4 && dims.length !== 5) return undefined;
  const last = dims.length - 1;
  const axes = dims.map((_, axis) => axis);
  const sidesIf = (channel: number): Sides | undefined => {
    const sides = axes.filter((axis) => axis !== 0 && axis !== channel);
    const isSide = sides.every((axis) => (dims[axis] ?? 0) > 1);
    return isSide && [1, 3, 4].includes(dims[channel] ?? 0) ? { channel, sides } : undefined;
  };
  return sidesIf(1) ?? sidesIf(last);
}

/** Weights of the levels with one, two, four, … blocks per side. */
const weights = [0.6, 0.5, 0.5, 0.4, 0.3] as const;

/** Returns images, row-major. @param scale values of black and white; undefined: alternates 0 to 1 with mean 0 and deviation 1. */
export function drawImages(
  dims: readonly number[],
  { channel, sides }: Sides,
  scale: readonly [number, number] | undefined,
  numbers: Random,
): Float64Array {
  const [samples = 0] = dims;
  const channels = dims[channel] ?? 1;
  const grid = gridOf(sides.map((axis) => dims[axis] ?? 1));
  const { positions } = grid;
  const result = new Float64Array(samples * channels * positions);
  const inner = channel === 1 ? 1 : channels;
  for (let sample = 0; sample < samples; sample++) {
    const grey = randomField(grid, numbers);
    for (let index = 0; index < channels; index++) {
      const tint = channels === 1 ? undefined : randomField(grid, numbers);
      const values = grey.map((value, cell) =>
        toPixel(tint === undefined ? value : 0.8 * value + 0.6 * (tint[cell] ?? 0), scale, sample),
      );
      const first = sample * channels * positions + (channel === 1 ? index * positions : index);
      writeBlocks(values, grid, result, first, inner);
    }
  }
  return result;
}

/** Converts a value to the scale of pixels. A deviation of 1 is a quarter of the range from black to white. */
function toPixel(value: number, scale: readonly [number, number] | undefined, sample: number): number {
  if (scale === undefined && sample % 2 === 1) return value;
  const [black, white] = scale ?? [0, 1];
  return black + (white - black) * Math.min(1, Math.max(0, 0.5 + value / 4));
}

/** A grid of cells that no block boundary divides. */
interface Grid {
  readonly lengths: readonly number[];
  readonly positions: number;
  readonly starts: readonly Uint32Array[];
  readonly cells: number;
  /** Index of the cell at each position of a side, times the side's stride in the row-major grid of cells. */
  readonly offsets: readonly Uint32Array[];
}

const maxBlocks = 2 ** (weights.length - 1);

function gridOf(lengths: readonly number[]): Grid {
  const counts = lengths.map((length) => Math.min(length, maxBlocks));
  const starts = lengths.map((length, axis) => {
    const count = counts[axis] ?? 1;
    return Uint32Array.from({ length: count }, (_, cell) => Math.ceil((cell * length) / count));
  });
  const offsets = lengths.map((length, axis) => offsetsAlong(axis, length, counts));
  return { lengths, positions: productOf(lengths), starts, cells: productOf(counts), offsets };
}

/** Returns the index of the block at each position of a side, times the side's stride in the row-major grid of blocks. */
function offsetsAlong(axis: number, length: number, counts: readonly number[]): Uint32Array {
  const stride = productOf(counts.slice(axis + 1));
  return Uint32Array.from({ length }, (_, index) => Math.floor((index * (counts[axis] ?? 1)) / length) * stride);
}

const productOf = (numbers: readonly number[]): number => numbers.reduce((product, number) => product * number, 1);

/** Returns the sum of blocks in each cell. */
function randomField({ lengths, starts, cells }: Grid, numbers: Random): Float64Array {
  const sum = new Float64Array(cells);
  const levelValues = new Float64Array(cells);
  for (const [level, weight] of weights.entries()) {
    const counts = lengths.map((length) => Math.min(length, 2 ** level));
    const blocks = Float64Array.from({ length: productOf(counts) }, () => weight * numbers.normal());
    const rows = lengths.map((length, axis) => {
      const axisOffsets = offsetsAlong(axis, length, counts);
      return (starts[axis] ?? axisOffsets).map((position) => axisOffsets[position] ?? 0);
    });
    writeBlocks(blocks, { offsets: rows }, levelValues, 0, 1);
    for (let cell = 0; cell < cells; cell++) sum[cell] = (sum[cell] ?? 0) + (levelValues[cell] ?? 0);
  }
  return sum;
}

function writeBlocks(
  blocks: Float64Array,
  { offsets }: Pick<Grid, "offsets">,
  target: Float64Array,
  start: number,
  stride: number,
): void {
  const last = offsets.at(-1) ?? new Uint32Array(1);
  const outer = offsets
    .slice(0, -1)
    .reduce<readonly number[]>((sums, row) => sums.flatMap((sum) => Array.from(row, (offset) => sum + offset)), [0]);
  let position = start;
  for (const offset of outer)
    for (const lastOffset of last) {
      target[position] = blocks[offset + lastOffset] ?? 0;
      position += stride;
    }
}
