/** Converts images to model inputs: x = (byte · scale − mean) / std per channel. The value of each of the 256 bytes is computed once per batch. */

import type { BatchChange, Dataset, IndexedDataset, ModelInput } from "#batches";
import { copyInput, fitSample, fitsDims, flatText, mapBatches } from "#batches";
import { type Batch, type Dense, dataError, dimsText, fromNumbers, isSymbolic, truncateList } from "#ir";
import { commonGeometries, type Extent, type Geometry, geometryText } from "./geometry.ts";
import { geometryFor, imagePathColumn, imageTarget, isChannels, readImages, resizeStored } from "./image-batches.ts";
import { type Preprocessing, parsePreprocessing } from "./presets.ts";

export type ImageInput = ModelInput;

export interface StoredImages {
  readonly name: string;
  readonly layout: "NCHW" | "NHWC";
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Converts the image column (stored bytes, or paths of JPEG and PNG files) to the model's input. Image files are resized and cropped as `how` states,
 * or as usual for the model's input size. The layout is detected from the input's shape.
 * @throws PithError On reading: E_DATA if a batch has no images, or if their size is not that of the input.
 * @example
 * const [input] = model.graph.feeds;
 * if (input) preprocess(await openDataset("cifar10/"), input, presets.imagenet);
 */
export function preprocess(dataset: IndexedDataset, input: ImageInput, how: Preprocessing): IndexedDataset;
export function preprocess(dataset: Dataset, input: ImageInput, how: Preprocessing): Dataset;
export function preprocess(dataset: Dataset, input: ImageInput, how: Preprocessing): Dataset {
  const settings = { owner: dataset.name, input: copyInput(input), how };
  return mapBatches(dataset, preprocessing(settings), { kind: "preprocess", settings });
}

export interface PreprocessSettings {
  readonly owner: string;
  readonly input: ImageInput;
  readonly how: Preprocessing;
}

export function preprocessing({ owner, input, how }: PreprocessSettings): BatchChange {
  return async (batch) => preprocessBatch(await storedImages(batch, input, how), input, how, owner);
}

/** Decodes and resizes image files; stored images are resized only if `how` states it. */
async function storedImages(batch: Batch, input: ImageInput, how: Preprocessing): Promise<Batch> {
  const target = imageTarget(input.type, how.layout);
  const files = imagePathColumn(batch);
  if (files !== undefined) {
    return { ...batch, image: await readImages(files.data, target, geometryFor(how, target)) };
  }
  if (how.resize === undefined && how.crop === undefined) return batch;
  const images = findImages(batch);
  const storedPixels = images === undefined ? undefined : batch[images.name];
  if (images === undefined || storedPixels?.type !== "uint8") return batch;
  return { ...batch, [images.name]: resizeStored(storedPixels, images, geometryFor(how, target)) };
}

/** Returns the samples with images from `storedImages`, to which several scales and means can then be applied. */
export function withStoredImages(dataset: Dataset, input: ImageInput, how: Preprocessing): Dataset {
  return mapBatches(dataset, (batch) => storedImages(batch, input, how));
}

/** Returns the usual resizes and crops of image files for a model, most likely first; empty for stored images or an input of any size. */
export function imageGeometries(batch: Batch, input: ImageInput): readonly Geometry[] {
  const { size } = imageTarget(input.type, undefined);
  return imagePathColumn(batch) === undefined || size === undefined ? [] : commonGeometries(size);
}

/** Returns undefined if the batch has no images. */
export function imageChannels(batch: Batch, input: ImageInput): number | undefined {
  if (imagePathColumn(batch) !== undefined) return imageTarget(input.type, undefined).channels;
  return findImages(batch)?.channels;
}

/** Returns the resize and crop as `parsePreprocessing` reads them; "" for stored images that keep their size. */
export function usedGeometryText(batch: Batch, input: ImageInput, how: Preprocessing): string {
  if (imagePathColumn(batch) === undefined && how.resize === undefined && how.crop === undefined) return "";
  return geometryText(geometryFor(how, imageTarget(input.type, how.layout)));
}

export function preprocessBatch(batch: Batch, input: ImageInput, how: Preprocessing, owner: string): Batch {
  const images = findImages(batch);
  const storedPixels = images === undefined ? undefined : batch[images.name];
  if (images === undefined || storedPixels === undefined || storedPixels.type !== "uint8") {
    const columns = Object.entries(batch).map(([name, dense]) => `${name} ${dense.type}${dimsText(dense.dims)}`);
    throw dataError(
      `${owner} has no stored images (uint8, N×C×H×W or N×H×W×C) to preprocess, only ${truncateList(columns)}.`,
    );
  }
  const count = storedPixels.dims[0] ?? 0;
  const tables = Array.from({ length: images.channels }, (_, channel) => valueTable(how, channel, images.channels));
  const target = inputShapeFor(images, input, how);
  const numbers = normalize(storedPixels.data, count, images, target.layout, how, tables);
  const rest = Object.entries(batch).filter(([name]) => name !== images.name);
  return { [input.name]: toInputType(numbers, [count, ...target.dims], input, how), ...Object.fromEntries(rest) };
}

/** Returns the column "image", or without such a column, the first uint8 column with the dimensions of images. */
export function findImages(batch: Batch): StoredImages | undefined {
  const names = Object.keys(batch).filter((name) => name !== "label");
  for (const name of names.includes("image") ? ["image"] : names) {
    const dense = batch[name];
    if (dense?.type !== "uint8") continue;
    const [, a = 0, b = 0, c = 0] = dense.dims;
    if (dense.dims.length === 2) return { name, layout: "NCHW", channels: 1, height: 1, width: a };
    if (dense.dims.length === 3) return { name, layout: "NCHW", channels: 1, height: a, width: b };
    if (dense.dims.length !== 4) continue;
    if (a === 1 || a === 3) return { name, layout: "NCHW", channels: a, height: b, width: c };
    if (c === 1 || c === 3) return { name, layout: "NHWC", channels: c, height: a, width: b };
  }
  return undefined;
}

/** Returns how stored images become or come from flat rows; undefined if they do not, or if they are resized or cropped. */
export function flatImageText(batch: Batch, input: ImageInput, how: Preprocessing): string | undefined {
  const images = how.resize === undefined && how.crop === undefined ? findImages(batch) : undefined;
  if (images === undefined) return undefined;
  const { dims, flatFrom } = inputShapeFor(images, input, how);
  return flatFrom === undefined ? undefined : flatText(flatFrom, dims);
}

interface ImageLayout {
  readonly dims: readonly number[];
  readonly layout: "NCHW" | "NHWC";
  /** Dimensions of the image, if it or the input is a flat row. */
  readonly flatFrom?: readonly number[];
}

function inputShapeFor(images: StoredImages, input: ImageInput, how: Preprocessing): ImageLayout {
  const { channels, height, width } = images;
  const planes: ImageLayout = { dims: [channels, height, width], layout: "NCHW" };
  const pixels: ImageLayout = { dims: [height, width, channels], layout: "NHWC" };
  const targets = how.layout === undefined ? [planes, pixels] : how.layout === "NCHW" ? [planes] : [pixels];
  const declaredDims = input.type?.dims;
  if (declaredDims === undefined) return targets[0] ?? planes;
  // A model that takes a single image has no batch axis.
  for (const inputDims of [declaredDims.slice(1), declaredDims]) {
    const exactTarget = targets.find((target) => fitsDims(inputDims, target.dims));
    if (exactTarget !== undefined) return exactTarget;
    for (const { dims, layout } of targets) {
      const fitted = fitSample(inputDims, dims);
      if (fitted !== undefined) return { layout, dims: fitted.dims, ...(fitted.isFlat ? { flatFrom: dims } : {}) };
    }
  }
  const channelAxis = (how.layout ?? (isChannels(declaredDims.at(-1)) ? "NHWC" : "NCHW")) === "NHWC" ? -1 : -3;
  const inputChannels = declaredDims.at(channelAxis);
  const ofOtherData = "Is this the data for this model?";
  // The input accepts neither image planes nor flat pixels.
  const isNoImage = declaredDims.length < 2 || (declaredDims.length < 3 && declaredDims.slice(1).some(isSymbolic));
  const hasOtherChannels = declaredDims.length > 2 && isChannels(inputChannels) && inputChannels !== channels;
  const [text, hint] = isNoImage
    ? [`${input.type?.type}${dimsText(declaredDims)}, which is not the shape of an image:`, ofOtherData]
    : hasOtherChannels
      ? [
          `${dimsText(declaredDims)}, images of ${channelsText(inputChannels)};`,
          `${ofOtherData} Image files (.png, .jpg) are converted to gray or color for the model; stored images are not.`,
        ]
      : [
          `${dimsText(declaredDims)},`,
          `Resize or crop them: \`preprocess: "${fittingPreprocessingText(how, imageTarget(input.type, how.layout).size)}"\`.`,
        ];
  const size = `${height}×${width} with ${channelsText(channels)}`;
  throw dataError(`Input "${input.name}" takes ${text} the images are ${size}.`, { hint });
}

/** Returns the text with a geometry for this size: "caffe crop=224" becomes "caffe crop=227" for 227 × 227. */
function fittingPreprocessingText(how: Preprocessing, size: Extent | undefined): string {
  const isGeometry = (word: string): boolean => /^(resize|crop)=/.test(word);
  const words = how.name.split(" ");
  const values = words.filter((word) => !isGeometry(word));
  // While preprocessings are tried, images are already resized, and only the name contains resize and crop.
  const statedGeometry = { ...parsePreprocessing(words.filter(isGeometry).join(" ")), ...how };
  const geometry = size === undefined ? "resize=…" : geometryText(fittingGeometry(statedGeometry, size));
  return [...values, geometry].join(" ");
}

function fittingGeometry({ resize, crop }: Preprocessing, size: Extent): Geometry {
  if (typeof resize === "object") return { resize: size };
  if (resize === undefined && crop !== undefined) return { crop: size };
  if (resize !== undefined && resize >= Math.max(size.height, size.width)) return { resize, crop: size };
  return commonGeometries(size)[0] ?? { resize: size };
}

function normalize(
  bytes: Uint8Array,
  count: number,
  images: StoredImages,
  layout: "NCHW" | "NHWC",
  how: Preprocessing,
  tables: readonly Float32Array[],
): Float32Array {
  const { channels, height, width } = images;
  const pixels = height * width;
  const result = new Float32Array(count * channels * pixels);
  const step = (order: "NCHW" | "NHWC"): readonly [pixel: number, channel: number] =>
    order === "NCHW" ? [1, pixels] : [channels, 1];
  const [fromPixel, fromChannel] = step(images.layout);
  const [toPixel, toChannel] = step(layout);
  for (const [channel, table] of tables.entries()) {
    const toIndex = how.channels === "BGR" ? channels - 1 - channel : channel;
    for (let sample = 0; sample < count; sample++) {
      let from = sample * channels * pixels + channel * fromChannel;
      let to = sample * channels * pixels + toIndex * toChannel;
      for (let pixel = 0; pixel < pixels; pixel++) {
        result[to] = table[bytes[from] ?? 0] ?? 0;
        from += fromPixel;
        to += toPixel;
      }
    }
  }
  return result;
}

const channelsText = (number: number): string => (number === 1 ? "one channel" : `${number} channels`);

/** Returns the model values of all 256 bytes for one channel. Mean and standard deviation are in the order of the stored channels. */
function valueTable(how: Preprocessing, channel: number, channels: number): Float32Array {
  const pick = (values: readonly number[], noun: string): number => {
    const value = values.length === 1 ? values[0] : values.length === channels ? values[channel] : undefined;
    if (value !== undefined) return value;
    throw dataError(
      `Preprocessing "${how.name}" has ${values.length} values of ${noun}, the images have ${channelsText(channels)}.`,
      { hint: `Give one value of ${noun}${channels === 1 ? "" : `, or ${channels} separated by commas`}.` },
    );
  };
  const mean = pick(how.mean, "mean");
  const std = pick(how.std, "std");
  return Float32Array.from({ length: 256 }, (_, byte) => (byte * how.scale - mean) / std);
}

function toInputType(numbers: Float32Array, dims: readonly number[], input: ImageInput, how: Preprocessing): Dense {
  const type = input.type?.type ?? "float32";
  if (type === "float32") return { type, dims, data: numbers };
  if (type === "float16" || type === "float64") return fromNumbers(type, dims, numbers);
  if (type === "uint8" && numbers.every((value) => value === Math.round(value) && value >= 0 && value <= 255)) {
    return fromNumbers(type, dims, numbers);
  }
  throw dataError(`Input "${input.name}" takes ${type}, which preprocessing "${how.name}" cannot produce.`, {
    hint: type === "uint8" ? 'Use the bytes unchanged: `preprocess: "raw"`.' : "",
  });
}
