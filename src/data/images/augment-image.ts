/** Augments one image. Brightness and noise are in standard deviations of the image, so that settings do not depend on its value range. */
import type { Random } from "../../core/tensor/random.ts";
import type { Augmentation } from "./augment-options.ts";
import type { StoredImages } from "./preprocess.ts";

export type ImageShape = Omit<StoredImages, "name">;

/** Returns the random numbers for one kind of change. */
export type Draws = (what: string) => Random;

/** Bounds of an erased rectangle (Zhong et al. 2020): its share of the image's area, and its aspect ratio. */
const eraseBounds = { minShare: 0.02, maxShare: 0.33, minRatio: 0.3, attempts: 10 };

/** Returns an image after all augmentations: crop and flip, jitter, noise, erase. */
export function viewOf(image: Float64Array, shape: ImageShape, how: Augmentation, draws: Draws): Float64Array {
  const { crop = 0, flip = false, jitter = 0, noise = 0, erase = 0 } = how;
  const augmentedImage = shiftAndFlip(image, shape, crop, flip, draws);
  if (jitter > 0) {
    const { mean, deviation } = meanAndDeviation(augmentedImage);
    const numbers = draws("jitter");
    const contrast = 1 + numbers.uniform(-jitter, jitter);
    const light = deviation * numbers.uniform(-jitter, jitter);
    for (let at = 0; at < augmentedImage.length; at++)
      augmentedImage[at] = mean + contrast * ((augmentedImage[at] ?? 0) - mean) + light;
  }
  if (noise > 0) {
    const { deviation } = meanAndDeviation(augmentedImage);
    const numbers = draws("noise");
    for (let at = 0; at < augmentedImage.length; at++)
      augmentedImage[at] = (augmentedImage[at] ?? 0) + numbers.normal(0, noise * deviation);
  }
  if (erase > 0) {
    const numbers = draws("erase");
    if (numbers.uniform() < erase) eraseRectangle(augmentedImage, shape, numbers);
  }
  return augmentedImage;
}

function stepsOf({ layout, channels, height, width }: ImageShape): readonly [number, number, number] {
  return layout === "NCHW" ? [height * width, width, 1] : [1, width * channels, channels];
}

function shiftAndFlip(from: Float64Array, shape: ImageShape, crop: number, flip: boolean, draws: Draws): Float64Array {
  const numbers = draws("crop");
  const [down, right] =
    crop > 0 ? [numbers.integer(2 * crop + 1) - crop, numbers.integer(2 * crop + 1) - crop] : [0, 0];
  const mirrored = flip && draws("flip").uniform() < 0.5;
  if (down === 0 && right === 0 && !mirrored) return from.slice();
  const to = new Float64Array(from.length);
  const { channels, height, width } = shape;
  const [perChannel, perRow, perColumn] = stepsOf(shape);
  const rows = [Math.max(0, -down), Math.min(height, height - down)] as const;
  if (!mirrored) {
    const [first, last] = [Math.max(0, -right), Math.min(width, width - right)];
    // The copied values of a row are contiguous: those of one channel (NCHW), or those of all channels (NHWC).
    const [planes, unit] = perColumn === 1 ? [channels, 1] : [1, channels];
    for (let row = rows[0]; row < rows[1] && first < last; row++)
      for (let plane = 0; plane < planes; plane++) {
        const target = plane * perChannel + row * perRow + first * unit;
        const origin = target + down * perRow + right * unit;
        to.set(from.subarray(origin, origin + (last - first) * unit), target);
      }
    return to;
  }
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = 0; column < width; column++) {
      const source = width - 1 - column + right;
      if (source < 0 || source >= width) continue;
      const [target, origin] = [row * perRow + column * perColumn, (row + down) * perRow + source * perColumn];
      for (let channel = 0; channel < channels; channel++)
        to[target + channel * perChannel] = from[origin + channel * perChannel] ?? 0;
    }
  }
  return to;
}

function eraseRectangle(image: Float64Array, shape: ImageShape, numbers: Random): void {
  const { channels, height, width } = shape;
  for (let attempt = 0; attempt < eraseBounds.attempts; attempt++) {
    const area = height * width * numbers.uniform(eraseBounds.minShare, eraseBounds.maxShare);
    const narrow = numbers.uniform(eraseBounds.minRatio, 1);
    const ratio = numbers.uniform() < 0.5 ? narrow : 1 / narrow;
    const [tall, wide] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (tall < 1 || wide < 1 || tall > height || wide > width) continue;
    const [top, start] = [numbers.integer(height - tall + 1), numbers.integer(width - wide + 1)];
    const [perChannel, perRow, perColumn] = stepsOf(shape);
    for (let channel = 0; channel < channels; channel++) {
      const mean = channelMean(image, shape, channel);
      for (let row = top; row < top + tall; row++)
        for (let column = start; column < start + wide; column++)
          image[channel * perChannel + row * perRow + column * perColumn] = mean;
    }
    return;
  }
}

function channelMean(image: Float64Array, shape: ImageShape, channel: number): number {
  const { height, width } = shape;
  const [perChannel, , perColumn] = stepsOf(shape);
  // Pixels of one channel are `perColumn` apart in both layouts, across rows, too.
  let sum = 0;
  for (let position = 0; position < height * width; position++)
    sum += image[channel * perChannel + position * perColumn] ?? 0;
  return sum / (height * width);
}

function meanAndDeviation(numbers: Float64Array): { readonly mean: number; readonly deviation: number } {
  let sum = 0;
  for (const entry of numbers) sum += entry;
  const mean = sum / numbers.length;
  let squares = 0;
  for (const entry of numbers) squares += (entry - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / numbers.length) };
}
