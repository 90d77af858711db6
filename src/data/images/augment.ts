/**
 * Augments images of a dataset. The result depends only on seed, epoch and sample position. Resumed trainings,
 * teachers and students therefore see the same images.
 */
import { type Batch, type Dense, dimsText, PithError, type Random, random } from "#ir";
import { type BatchChange, mapBatches } from "../batches/indexed.ts";
import { rowLength } from "../batches/rows.ts";
import type { Dataset, IndexedDataset } from "../batches/types.ts";
import { type Augmentation, parseAugmentation } from "./augment-options.ts";
import type { StoredImages } from "./preprocess.ts";

type Images = Dense<"float32" | "uint8">;

/**
 * Returns the samples with augmented images. Images are the only column with four axes, of type float32 or
 * uint8.
 * @throws PithError E_OPTION for invalid options. Reading throws E_DATA if there is no image column, or more than one.
 * @example
 * const seen = augmented(await openDataset("cifar10/"), parseAugmentation("crop=4 flip"), { seed: 1 });
 * for await (const batch of seen.batches({ size: 128, shuffle: 1 })) console.log(batch.image?.dims);
 */
export function augmented(
  dataset: IndexedDataset,
  how: Augmentation,
  options: { readonly seed: number },
): IndexedDataset;
export function augmented(dataset: Dataset, how: Augmentation, options: { readonly seed: number }): Dataset;
export function augmented(dataset: Dataset, how: Augmentation, { seed }: { readonly seed: number }): Dataset {
  const settings = { owner: dataset.name, how: parseAugmentation(how), seed };
  return mapBatches(dataset, augmentation(settings), { kind: "augment", settings });
}

export interface AugmentationSettings {
  readonly owner: string;
  readonly how: Augmentation;
  readonly seed: number;
}

export function augmentation({ owner, how, seed }: AugmentationSettings): BatchChange {
  return (batch, { samples, epoch }) =>
    augmentBatch(batch, samples, how, (sample, what) => random(seed, "augment", epoch, sample, what), owner);
}

type SampleDraws = (sample: number, what: string) => Random;

function augmentBatch(batch: Batch, samples: Uint32Array, how: Augmentation, draws: SampleDraws, owner: string): Batch {
  const { name, images } = findImages(batch, owner);
  const shape = shapeOf(images, how.layout, owner);
  const width = rowLength(images);
  const data = images.data.slice();
  samples.forEach((sample, row) => {
    const image = new Float64Array(data.subarray(row * width, (row + 1) * width));
    write(
      data,
      row * width,
      augmentImage(image, shape, how, (what) => draws(sample, what)),
    );
  });
  return { ...batch, [name]: { type: images.type, dims: images.dims, data } as Images };
}

function write(data: Images["data"], start: number, numbers: Float64Array): void {
  data.set(data instanceof Uint8Array ? Uint8ClampedArray.from(numbers) : numbers, start);
}

function findImages(batch: Batch, owner: string): { readonly name: string; readonly images: Images } {
  const candidates = Object.entries(batch).filter(([name, { dims }]) => name !== "label" && dims.length === 4);
  const [[name, images] = ["", undefined]] = candidates;
  const columns = Object.entries(batch).map(([column, { type, dims }]) => `"${column}" ${type}${dimsText(dims)}`);
  if (candidates.length !== 1 || (images?.type !== "float32" && images?.type !== "uint8")) {
    throw new PithError(
      "E_DATA",
      `${owner}: expected one column of images, float32 or uint8 with four axes, got ${columns.join(", ")}.`,
    );
  }
  const { label } = batch;
  if (label !== undefined && label.dims.length > 2)
    throw new PithError(
      "E_DATA",
      `${owner}: "label" is ${dimsText(label.dims)}, which augmentation cannot transform with the image.`,
      { hint: "Augment such images before they become a data set." },
    );
  return { name, images };
}

function shapeOf({ dims }: Images, layout: Augmentation["layout"], owner: string): ImageShape {
  const [, a = 0, b = 0, c = 0] = dims;
  const isChannelCount = (size: number): boolean => size === 1 || size === 3 || size === 4;
  const imageLayout = layout ?? (isChannelCount(a) ? "NCHW" : isChannelCount(c) ? "NHWC" : undefined);
  if (imageLayout === "NCHW") return { layout: imageLayout, channels: a, height: b, width: c };
  if (imageLayout === "NHWC") return { layout: imageLayout, channels: c, height: a, width: b };
  throw new PithError("E_DATA", `${owner}: the channel axis of ${dimsText(dims)} is ambiguous.`, {
    hint: "Set layout=NCHW or layout=NHWC.",
  });
}

type ImageShape = Omit<StoredImages, "name">;

/** Returns a random generator for one kind of change, such as "crop" or "noise". */
type Draws = (purpose: string) => Random;

/** Bounds of an erased rectangle (Zhong et al. 2020): its share of the image's area, and its aspect ratio. */
const eraseBounds = { minShare: 0.02, maxShare: 0.33, minRatio: 0.3, attempts: 10 };

/**
 * Returns an image after all augmentations: crop and flip, jitter, noise, erase. Brightness and noise are in standard deviations of the image, so that
 * settings do not depend on the preprocessing.
 */
function augmentImage(image: Float64Array, shape: ImageShape, augmentation: Augmentation, draws: Draws): Float64Array {
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
