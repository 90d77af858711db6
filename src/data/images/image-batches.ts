/** Reads, decodes and resizes the images of a batch to the size and channels of a model input. */

import { quickHash } from "#batches";
import { type Batch, type Dense, type Dim, dataError, elementCount, type ValueType } from "#ir";
import { decodeImage, imageHeader, type Pixels, readFile } from "#platform";
import { commonGeometries, type Extent, fitImage, type Geometry, sizeOf } from "./geometry.ts";

export interface ImageTarget {
  readonly channels: 1 | 3;
  readonly size: Extent | undefined;
}

/** Returns the size and channels that an input requires. A flat input ([N, 784]) counts as a square image. */
export function imageTarget(type: ValueType | undefined, layout: "NCHW" | "NHWC" | undefined): ImageTarget {
  const anySize: ImageTarget = { channels: 3, size: undefined };
  const dims = type?.dims;
  if (dims === undefined) return anySize;
  // An input with three dimensions has no batch axis.
  const [a, b, c] = dims.slice(-3);
  if (dims.length >= 3 && a !== undefined && b !== undefined && c !== undefined) {
    if (layout !== "NHWC" && isChannels(a) && extentOfAxes(b, c) !== "no")
      return { channels: a, size: fixedSize(b, c) };
    if (layout !== "NCHW" && isChannels(c) && extentOfAxes(a, b) !== "no")
      return { channels: c, size: fixedSize(a, b) };
  }
  const elements = dims.slice(1).reduce<number>((product, dim) => (typeof dim === "number" ? product * dim : 0), 1);
  for (const channels of [1, 3] as const) {
    const side = Math.sqrt(elements / channels);
    if (Number.isInteger(side) && side > 1) return { channels, size: { height: side, width: side } };
  }
  return anySize;
}

export function isChannels(dim: Dim | undefined): dim is 1 | 3 {
  return dim === 1 || dim === 3;
}

/** Returns "free" if a size is not fixed, "no" if a size is 1, because such axes belong to flat inputs. */
function extentOfAxes(height: Dim, width: Dim): Extent | "free" | "no" {
  if (height === 1 || width === 1) return "no";
  return typeof height === "number" && typeof width === "number" ? { height, width } : "free";
}

function fixedSize(height: Dim, width: Dim): Extent | undefined {
  const size = extentOfAxes(height, width);
  return typeof size === "object" ? size : undefined;
}

/** Completes a stated resize and crop with the size that the model requires; by default, the usual resize and crop for this size. */
export function geometryFor({ resize, crop, filter }: Geometry, { size }: ImageTarget): Geometry {
  const filterOption = filter === undefined ? {} : { filter };
  if (resize === undefined && crop === undefined)
    return size === undefined ? {} : { ...commonGeometries(size)[0], ...filterOption };
  if (crop !== undefined) return resize === undefined ? { crop } : { resize, crop, ...filterOption };
  if (resize === undefined || typeof resize === "object" || size === undefined)
    return { resize: resize ?? 1, ...filterOption };
  return { resize, crop: size, ...filterOption };
}

export function imagePathColumn(batch: Batch): Dense<"string"> | undefined {
  const column = batch.image;
  return column?.type === "string" && column.dims.length === 1 ? column : undefined;
}

/** Keeps the decoder's threads busy while images are resized and the model runs. */
const concurrentImages = 8;

/** Several larger images at once would need gigabytes of memory. */
const maxConcurrentPixels = 2 ** 25;

/** Bytes of decoded and resized images that are kept, because a command reads its samples several times. */
const maxKeptBytes = 2 ** 27;

interface FittedImage extends Extent {
  readonly data: Uint8Array;
}

/**
 * Images of limited total size. If many images in a row are missing, all are removed: they are those of an earlier data set. If instead the least
 * recent one made room, a data set that exceeds the space would find none of its images at the next pass.
 */
export class ImageCache {
  readonly #images = new Map<string, FittedImage>();
  readonly #maxBytes: number;
  #bytes = 0;
  #misses = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): FittedImage | undefined {
    const image = this.#images.get(key);
    this.#misses = image === undefined ? this.#misses + 1 : 0;
    return image;
  }

  add(key: string, image: FittedImage): void {
    const hasRoom = (): boolean => this.#bytes + image.data.length <= this.#maxBytes;
    if (!hasRoom() && this.#misses > 4 * this.#images.size) {
      this.#images.clear();
      this.#bytes = this.#misses = 0;
    }
    if (this.#images.has(key) || !hasRoom()) return;
    this.#bytes += image.data.length;
    this.#images.set(key, image);
  }
}

/** By the content of the file, and by size and channels. */
const keptImages = new ImageCache(maxKeptBytes);

async function* decodeConcurrently(
  paths: readonly string[],
  resize: (image: Pixels) => FittedImage,
  setting: string,
): AsyncIterable<FittedImage> {
  // An error is thrown when its image is requested. Until then, it must not count as unhandled.
  const withHandledError = <T>(promise: Promise<T>): Promise<T> => {
    promise.catch(() => {});
    return promise;
  };
  const startDecoding = async (path: string): Promise<() => Promise<FittedImage>> => {
    const bytes = await readFile(path);
    const key = `${setting} ${bytes.length} ${quickHash(bytes)}`;
    const keptImage = keptImages.get(key);
    if (keptImage !== undefined) return async () => keptImage;
    const { width, height } = imageHeader(bytes, path);
    const finish = async (pendingPixels: Promise<Pixels>): Promise<FittedImage> => {
      const image = resize(await pendingPixels);
      keptImages.add(key, image);
      return image;
    };
    if (width * height > maxConcurrentPixels) return () => finish(decodeImage(bytes, path));
    const pendingPixels = withHandledError(decodeImage(bytes, path));
    return () => finish(pendingPixels);
  };
  const pending = paths.slice(0, concurrentImages).map((path) => withHandledError(startDecoding(path)));
  for (const next of paths.keys()) {
    const finish = await pending.shift();
    const path = paths[next + concurrentImages];
    if (path !== undefined) pending.push(withHandledError(startDecoding(path)));
    if (finish !== undefined) yield await finish();
  }
}

/** Reads images as uint8 N × H × W × C. @throws PithError E_DATA if a file is damaged, or if sizes differ and the geometry does not set one. */
export async function readImages(
  paths: readonly string[],
  target: ImageTarget,
  geometry: Geometry,
): Promise<Dense<"uint8">> {
  let size = sizeOf(geometry);
  let data: Uint8Array | undefined;
  const { channels } = target;
  let index = 0;
  const resize = (image: Pixels): FittedImage =>
    fitImage(channels === 1 ? toGray(image.data) : image.data, image, geometry, channels);
  for await (const fittedImage of decodeConcurrently(
    paths,
    resize,
    JSON.stringify([channels, geometry.resize, geometry.crop, geometry.filter]),
  )) {
    size ??= { height: fittedImage.height, width: fittedImage.width };
    if (fittedImage.height !== size.height || fittedImage.width !== size.width) {
      const [actualText, first] = [fittedImage, size].map(({ height, width }) => `${height}×${width}`);
      throw dataError(`${paths[index]} is ${actualText}, the images before it are ${first}.`, {
        hint: 'The model takes any size: set one with `preprocess: "resize=224 crop=224"`.',
      });
    }
    data ??= new Uint8Array(paths.length * size.height * size.width * channels);
    data.set(fittedImage.data, index * fittedImage.data.length);
    index++;
  }
  const { height, width } = size ?? { height: 0, width: 0 };
  return { type: "uint8", dims: [paths.length, height, width, channels], data: data ?? new Uint8Array() };
}

/** Returns the integer luma of ITU-R 601, as Pillow's convert("L") computes it. */
function toGray(rgb: Uint8Array): Uint8Array {
  const gray = new Uint8Array(rgb.length / 3);
  for (let pixel = 0, at = 0; pixel < gray.length; pixel++, at += 3) {
    gray[pixel] = ((rgb[at] ?? 0) * 19595 + (rgb[at + 1] ?? 0) * 38470 + (rgb[at + 2] ?? 0) * 7471 + 0x8000) >> 16;
  }
  return gray;
}

/** Resizes stored images (N × C × H × W or N × H × W × C) to N × H × W × C. */
export function resizeStored(
  storedImages: Dense<"uint8">,
  storedForm: Extent & { readonly channels: number; readonly layout: "NCHW" | "NHWC" },
  geometry: Geometry,
): Dense<"uint8"> {
  const count = storedImages.dims[0] ?? 0;
  const { channels, height, width } = storedForm;
  const values = height * width * channels;
  const fittedImages = Array.from({ length: count }, (_, sample) => {
    const image = storedImages.data.subarray(sample * values, (sample + 1) * values);
    return fitImage(storedForm.layout === "NHWC" ? image : interleave(image, channels), storedForm, geometry, channels);
  });
  const size = fittedImages[0] ?? { height: 0, width: 0 };
  const dims = [count, size.height, size.width, channels];
  const data = new Uint8Array(elementCount(dims));
  fittedImages.forEach((image, sample) => {
    data.set(image.data, sample * image.data.length);
  });
  return { type: "uint8", dims, data };
}

function interleave(planes: Uint8Array, channels: number): Uint8Array {
  const pixels = planes.length / channels;
  return Uint8Array.from(planes, (_, at) => planes[(at % channels) * pixels + Math.floor(at / channels)] ?? 0);
}
