/** Augments one image. Brightness and noise are in standard deviations of the image, so that settings do not depend on the preprocessing. */
import type { Random } from "../../core/tensor/random.ts";
import type { Augmentation } from "./augment-options.ts";
import type { StoredImages } from "./preprocess.ts";

export type ImageShape = Omit<StoredImages, "name">;

/** Returns a random generator for one kind of change, such as "crop" or "noise". */
export type Draws = (purpose: string) => Random;

/** Bounds of an erased rectangle (Zhong et al. 2020): its share of the image's area, and its aspect ratio. */
const eraseBounds = { minShare: 0.02, maxShare: 0.33, minRatio: 0.3, attempts: 10 };

/** Returns an image after all augmentations: crop and flip, jitter, noise, erase. */
export function augmentImage(
  image: Float64Array,
  shape: ImageShape,
  augmentation: Augmentation,
  draws: Draws,
): Float64Array {
  const { crop = 0, flip = false, jitter = 0, noise = 0, erase = 0 } = augmentation;
  const augmentedImage = shiftAndFlip(image, shape, crop, flip, draws);
  if (jitter > 0) {
    const { mean, deviation } = meanAndDeviation(augmentedImage);
    const generator = draws("jitter");
    const contrast = 1 + generator.uniform(-jitter, jitter);
    const brightness = deviation * generator.uniform(-jitter, jitter);
    for (let index = 0; index < augmentedImage.length; index++)
      augmentedImage[index] = mean + contrast * ((augmentedImage[index] ?? 0) - mean) + brightness;
  }
  if (noise > 0) {
    const { deviation } = meanAndDeviation(augmentedImage);
    const generator = draws("noise");
    for (let index = 0; index < augmentedImage.length; index++)
      augmentedImage[index] = (augmentedImage[index] ?? 0) + generator.normal(0, noise * deviation);
  }
  if (erase > 0) {
    const generator = draws("erase");
    if (generator.uniform() < erase) eraseRectangle(augmentedImage, shape, generator);
  }
  return augmentedImage;
}

function stepsOf({ layout, channels, height, width }: ImageShape): readonly [number, number, number] {
  return layout === "NCHW" ? [height * width, width, 1] : [1, width * channels, channels];
}

function shiftAndFlip(input: Float64Array, shape: ImageShape, crop: number, flip: boolean, draws: Draws): Float64Array {
  const generator = draws("crop");
  const [shiftDown, shiftRight] =
    crop > 0 ? [generator.integer(2 * crop + 1) - crop, generator.integer(2 * crop + 1) - crop] : [0, 0];
  const isMirrored = flip && draws("flip").uniform() < 0.5;
  if (shiftDown === 0 && shiftRight === 0 && !isMirrored) return input.slice();
  const output = new Float64Array(input.length);
  const { channels, height, width } = shape;
  const [perChannel, perRow, perColumn] = stepsOf(shape);
  const rows = [Math.max(0, -shiftDown), Math.min(height, height - shiftDown)] as const;
  if (!isMirrored) {
    const [first, last] = [Math.max(0, -shiftRight), Math.min(width, width - shiftRight)];
    // The copied values of a row are contiguous: in NCHW, the values of one channel; in NHWC, those of all channels.
    const [planes, unit] = perColumn === 1 ? [channels, 1] : [1, channels];
    for (let row = rows[0]; row < rows[1] && first < last; row++)
      for (let plane = 0; plane < planes; plane++) {
        const target = plane * perChannel + row * perRow + first * unit;
        const origin = target + shiftDown * perRow + shiftRight * unit;
        output.set(input.subarray(origin, origin + (last - first) * unit), target);
      }
    return output;
  }
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = 0; column < width; column++) {
      const source = width - 1 - column + shiftRight;
      if (source < 0 || source >= width) continue;
      const [target, origin] = [row * perRow + column * perColumn, (row + shiftDown) * perRow + source * perColumn];
      for (let channel = 0; channel < channels; channel++)
        output[target + channel * perChannel] = input[origin + channel * perChannel] ?? 0;
    }
  }
  return output;
}

function eraseRectangle(image: Float64Array, shape: ImageShape, generator: Random): void {
  const { channels, height, width } = shape;
  for (let attempt = 0; attempt < eraseBounds.attempts; attempt++) {
    const area = height * width * generator.uniform(eraseBounds.minShare, eraseBounds.maxShare);
    const narrowRatio = generator.uniform(eraseBounds.minRatio, 1);
    const ratio = generator.uniform() < 0.5 ? narrowRatio : 1 / narrowRatio;
    const [eraseHeight, eraseWidth] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (eraseHeight < 1 || eraseWidth < 1 || eraseHeight > height || eraseWidth > width) continue;
    const [top, start] = [generator.integer(height - eraseHeight + 1), generator.integer(width - eraseWidth + 1)];
    const [perChannel, perRow, perColumn] = stepsOf(shape);
    for (let channel = 0; channel < channels; channel++) {
      const mean = channelMean(image, shape, channel);
      for (let row = top; row < top + eraseHeight; row++)
        for (let column = start; column < start + eraseWidth; column++)
          image[channel * perChannel + row * perRow + column * perColumn] = mean;
    }
    return;
  }
}

function channelMean(image: Float64Array, shape: ImageShape, channel: number): number {
  const { height, width } = shape;
  const [perChannel, , perColumn] = stepsOf(shape);
  // In both layouts, consecutive pixels of a channel are `perColumn` elements apart, also from the end of a row to the next row.
  let sum = 0;
  for (let position = 0; position < height * width; position++)
    sum += image[channel * perChannel + position * perColumn] ?? 0;
  return sum / (height * width);
}

function meanAndDeviation(numbers: Float64Array): { readonly mean: number; readonly deviation: number } {
  let sum = 0;
  for (const value of numbers) sum += value;
  const mean = sum / numbers.length;
  let squares = 0;
  for (const value of numbers) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / numbers.length) };
}
