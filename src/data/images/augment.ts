/**
 * Augments images of a dataset. The result depends only on seed, epoch and sample position. Resumed trainings,
 * teachers and students therefore see the same images.
 */
import { type Batch, type Dense, dimsText, float32, PithError, type Random, random } from "#ir";
import { type BatchChange, mapBatches } from "../batches/indexed.ts";
import { rowLength } from "../batches/rows.ts";
import type { Dataset, IndexedDataset } from "../batches/types.ts";
import { type Augmentation, parseAugmentation } from "./augment-options.ts";
import type { StoredImages } from "./preprocess.ts";

export interface AugmentedOptions {
  readonly seed: number;
  /** The number of classes, which `mixup` requires. */
  readonly classes?: number | undefined;
}

type Images = Dense<"float32" | "uint8">;

/**
 * Returns the samples with augmented images. Images are the only column with four axes, of type float32 or
 * uint8. With `mixup`, the column "label" becomes shares of shape [samples, classes].
 * @throws PithError E_OPTION for invalid options, or for `mixup` without a number of classes. Reading throws
 * E_DATA if there is no image column, or more than one.
 * @example
 * const seen = augmented(await openDataset("cifar10/"), parseAugmentation("crop=4 flip"), { seed: 1 });
 * for await (const batch of seen.batches({ size: 128, shuffle: 1 })) console.log(batch.image?.dims);
 */
export function augmented(dataset: IndexedDataset, how: Augmentation, options: AugmentedOptions): IndexedDataset;
export function augmented(dataset: Dataset, how: Augmentation, options: AugmentedOptions): Dataset;
export function augmented(dataset: Dataset, effects: Augmentation, options: AugmentedOptions): Dataset {
  const how = parseAugmentation(effects);
  if ((how.mixup ?? 0) > 0 && options.classes === undefined)
    throw new PithError("E_OPTION", "augment, mixup: the number of classes is unknown.");
  const settings = { owner: dataset.name, how, seed: options.seed, classes: options.classes };
  return mapBatches(dataset, augmentation(settings), { kind: "augment", settings });
}

export interface AugmentationSettings extends AugmentedOptions {
  readonly owner: string;
  readonly how: Augmentation;
}

export function augmentation({ owner, how, seed, classes = 0 }: AugmentationSettings): BatchChange {
  const { mixup = 0, views = Number.POSITIVE_INFINITY } = how;
  return (batch, { samples, epoch }) => {
    const generatorOf = (sample: number, what: string): Random => random(seed, "augment", epoch % views, sample, what);
    const augmentedBatch = augmentBatch(batch, samples, how, generatorOf, owner);
    return mixup > 0 ? mixSamples(augmentedBatch, samples, mixup, classes, generatorOf, owner) : augmentedBatch.batch;
  };
}

type SampleDraws = (sample: number, what: string) => Random;

interface Views {
  readonly batch: Batch;
  readonly name: string;
  readonly images: Images;
}

function augmentBatch(batch: Batch, samples: Uint32Array, how: Augmentation, draws: SampleDraws, owner: string): Views {
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
  const augmentedImages = { type: images.type, dims: images.dims, data } as Images;
  return { batch: { ...batch, [name]: augmentedImages }, name, images: augmentedImages };
}

function write(data: Images["data"], start: number, numbers: Float64Array): void {
  data.set(data instanceof Uint8Array ? Uint8ClampedArray.from(numbers) : numbers, start);
}

/** Replaces each sample x by λ · x + (1 − λ) · x′ with another sample x′ of the batch and λ from Beta(α, α). Labels are mixed in the same way. */
function mixSamples(
  { batch, name, images }: Views,
  samples: Uint32Array,
  alpha: number,
  classes: number,
  draws: SampleDraws,
  owner: string,
): Batch {
  const partners = draws(samples[0] ?? 0, "partners").permutation(samples.length);
  const shares = Array.from(samples, (sample) => beta(alpha, draws(sample, "mixup")));
  const mix = (from: ArrayLike<number>, width: number, set: (start: number, numbers: Float64Array) => void): void => {
    shares.forEach((share, row) => {
      const partnerStart = (partners[row] ?? row) * width;
      const numbers = Float64Array.from(
        { length: width },
        (_, index) => share * (from[row * width + index] ?? 0) + (1 - share) * (from[partnerStart + index] ?? 0),
      );
      set(row * width, numbers);
    });
  };
  const data = images.data.slice();
  mix(images.data, rowLength(images), (start, numbers) => write(data, start, numbers));
  const result: Record<string, Dense> = { ...batch, [name]: { ...images, data } as Images };
  const { label } = batch;
  if (label === undefined) return result;
  const classShares = sharesOf(label, samples.length, classes, owner);
  const targets = new Float32Array(classShares.length);
  mix(classShares, classes, (start, numbers) => targets.set(numbers, start));
  return { ...result, label: float32([samples.length, classes], targets) };
}

function sharesOf(label: Dense, rows: number, classes: number, owner: string): Float32Array {
  if (label.type === "float32" && label.data.length === rows * classes) return label.data;
  if (label.type === "string" || label.data.length !== rows) {
    const got = `${label.type}${dimsText(label.dims)}`;
    throw new PithError("E_DATA", `${owner}: "label" is ${got}, and mixup takes one class per sample: [${rows}].`);
  }
  const shares = new Float32Array(rows * classes);
  Array.from(label.data, Number).forEach((index, row) => {
    if (!Number.isInteger(index) || index < 0 || index >= classes)
      throw new PithError("E_DATA", `${owner}: "label" contains ${index}: expected a class from 0 to ${classes - 1}.`);
    shares[row * classes + index] = 1;
  });
  return shares;
}

/** Draws from Beta(α, α) with α ≤ 1 by Jöhnk's method: draws u^(1/α) and v^(1/α) for uniform u and v until their sum is at most 1. */
function beta(alpha: number, generator: Random): number {
  for (;;) {
    const [a, b] = [generator.uniform() ** (1 / alpha), generator.uniform() ** (1 / alpha)];
    if (a + b > 0 && a + b <= 1) return a / (a + b);
  }
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
