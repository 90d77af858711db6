/**
 * Images drawn from a seed: blocks of several sizes on top of each other, from the whole image down to a few pixels, much of it common to
 * all channels. In every size there is something for a filter to see, and images differ as a whole.
 */
import type { Random } from "../tensor/random.ts";

/** The axes that are sides of images, or of volumes; the others count samples and channels. */
export interface Sides {
  readonly channel: number;
  readonly sides: readonly number[];
}

/** Of N×C×H×W and N×H×W×C, or volumes, with one, three or four channels. */
export function imageSides(dims: readonly number[]): Sides | undefined {
  if (dims.length !== 4 && dims.length !== 5) return undefined;
  const last = dims.length - 1;
  const axes = dims.map((_, axis) => axis);
  const fits = (channel: number): Sides | undefined => {
    const sides = axes.filter((axis) => axis !== 0 && axis !== channel);
    const isSide = sides.every((axis) => (dims[axis] ?? 0) > 1);
    return isSide && [1, 3, 4].includes(dims[channel] ?? 0) ? { channel, sides } : undefined;
  };
  return fits(1) ?? fits(last);
}

/** Weights of blocks: one, two, four, … of them along a side. */
const weights = [0.6, 0.5, 0.5, 0.4, 0.3] as const;

/**
 * Numbers of a batch of images, row-major.
 * @param scale what black and white are; if absent, one image goes from 0 to 1 and the next is normalized, with mean 0 and deviation 1.
 */
export function images(
  dims: readonly number[],
  { channel, sides }: Sides,
  scale: readonly [number, number] | undefined,
  numbers: Random,
): Float64Array {
  const [samples = 0] = dims;
  const channels = dims[channel] ?? 1;
  const lengths = sides.map((axis) => dims[axis] ?? 1);
  const places = lengths.reduce((product, length) => product * length, 1);
  const result = new Float64Array(samples * channels * places);
  const inner = channel === 1 ? 1 : channels;
  for (let sample = 0; sample < samples; sample++) {
    const grey = field(lengths, numbers);
    for (let own = 0; own < channels; own++) {
      const tint = channels === 1 ? undefined : field(lengths, numbers);
      const first = sample * channels * places + (channel === 1 ? own * places : own);
      for (let place = 0; place < places; place++) {
        const value = tint === undefined ? (grey[place] ?? 0) : 0.8 * (grey[place] ?? 0) + 0.6 * (tint[place] ?? 0);
        result[first + place * inner] = scaled(value, scale, sample);
      }
    }
  }
  return result;
}

/** Deviation 1 is a quarter of the way from black to white. */
function scaled(value: number, scale: readonly [number, number] | undefined, sample: number): number {
  if (scale === undefined && sample % 2 === 1) return value;
  const [black, white] = scale ?? [0, 1];
  return black + (white - black) * Math.min(1, Math.max(0, 0.5 + value / 4));
}

/** A sum of blocks, with mean 0 and deviation 1 or so. */
function field(lengths: readonly number[], numbers: Random): Float64Array {
  const places = lengths.reduce((product, length) => product * length, 1);
  const sum = new Float64Array(places);
  for (const [level, weight] of weights.entries()) {
    const counts = lengths.map((length) => Math.min(length, 2 ** level));
    const blocks = Float64Array.from(
      { length: counts.reduce((product, count) => product * count, 1) },
      () => weight * numbers.normal(),
    );
    // Along each side, which block a place lies in, times the stride of blocks.
    const rows = lengths.map((length, axis) => {
      const stride = counts.slice(axis + 1).reduce((product, count) => product * count, 1);
      return Uint32Array.from({ length }, (_, at) => Math.floor((at * (counts[axis] ?? 1)) / length) * stride);
    });
    add(sum, blocks, rows);
  }
  return sum;
}

function add(sum: Float64Array, blocks: Float64Array, rows: readonly Uint32Array[]): void {
  const last = rows.at(-1) ?? new Uint32Array([0]);
  const outer = rows.slice(0, -1);
  const at = outer.map(() => 0);
  for (let start = 0; start < sum.length; start += last.length) {
    const offset = outer.reduce((total, row, axis) => total + (row[at[axis] ?? 0] ?? 0), 0);
    for (const [place, block] of last.entries())
      sum[start + place] = (sum[start + place] ?? 0) + (blocks[offset + block] ?? 0);
    for (let axis = outer.length - 1; axis >= 0; axis--) {
      const next = (at[axis] ?? 0) + 1;
      at[axis] = next < (outer[axis]?.length ?? 1) ? next : 0;
      if (at[axis] !== 0) break;
    }
  }
}
