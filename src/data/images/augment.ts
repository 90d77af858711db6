/** Augments images. The result depends on seed, epoch and position, so resumed trainings, teachers and students see the same images. */

import { type BatchChange, type Dataset, type IndexedDataset, mapBatches, rowLength } from "#batches";
import { type Batch, type Dense, dataError, dimsText, type Random, random } from "#ir";
import { type Augmentation, parseAugmentation } from "./augment-options.ts";
import type { StoredImages } from "./preprocess.ts";

type Images = Dense<"float32" | "uint8">;

/**
 * Returns the samples with augmented images, the only column with four axes besides "label", of type float32 or uint8.
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

type SampleDraws = (sample: number, purpose: string) => Random;

function augmentBatch(batch: Batch, samples: Uint32Array, how: Augmentation, draws: SampleDraws, owner: string): Batch {
  const { name, images } = findImages(batch, owner);
  const shape = shapeOf(images, how.layout, owner);
  const width = rowLength(images);
  const data = images.data.slice();
  samples.forEach((sample, row) => {
    const image = images.data.subarray(row * width, (row + 1) * width);
    shiftAndFlip(image, data.subarray(row * width, (row + 1) * width), shape, how, (what) => draws(sample, what));
  });
  return { ...batch, [name]: { type: images.type, dims: images.dims, data } as Images };
}

function findImages(batch: Batch, owner: string): { readonly name: string; readonly images: Images } {
  const candidates = Object.entries(batch).filter(([name, { dims }]) => name !== "label" && dims.length === 4);
  const [[name, images] = ["", undefined]] = candidates;
  const columns = Object.entries(batch).map(([column, { type, dims }]) => `"${column}" ${type}${dimsText(dims)}`);
  if (candidates.length !== 1 || (images?.type !== "float32" && images?.type !== "uint8")) {
    throw dataError(
      `${owner}: expected one column of images, float32 or uint8 with four axes, got ${columns.join(", ")}.`,
    );
  }
  const { label } = batch;
  if (label !== undefined && label.dims.length > 2)
    throw dataError(
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
  throw dataError(`${owner}: the channel axis of ${dimsText(dims)} is ambiguous.`, {
    hint: "Set layout=NCHW or layout=NHWC.",
  });
}

type ImageShape = Omit<StoredImages, "name">;

function stepsOf({ layout, channels, height, width }: ImageShape): readonly [number, number, number] {
  return layout === "NCHW" ? [height * width, width, 1] : [1, width * channels, channels];
}

function shiftAndFlip(
  input: Images["data"],
  output: Images["data"],
  shape: ImageShape,
  { crop = 0, flip = false }: Augmentation,
  draws: (purpose: string) => Random,
): void {
  const generator = draws("crop");
  const [shiftDown, shiftRight] =
    crop > 0 ? [generator.integer(2 * crop + 1) - crop, generator.integer(2 * crop + 1) - crop] : [0, 0];
  const isMirrored = flip && draws("flip").uniform() < 0.5;
  if (shiftDown === 0 && shiftRight === 0 && !isMirrored) return;
  output.fill(0);
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
    return;
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
}
