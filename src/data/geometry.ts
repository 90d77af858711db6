/**
 * From an image of any size to the size that a model takes: resize, then cut out the middle.
 *
 * A resize of one number makes the short side that long and keeps the proportions (the long side is cut to a whole number); of two numbers
 * it is height × width, whatever the proportions. As torchvision's `Resize` and `CenterCrop`: where the middle falls between two pixels, the
 * even one is taken; an image smaller than the crop is padded with black.
 */
import { type Filter, resample } from "./resample.ts";

export interface Extent {
  readonly height: number;
  readonly width: number;
}

export interface Geometry {
  /** The short side, or height and width. */
  readonly resize?: number | Extent;
  readonly crop?: Extent;
  /** How a resize mixes pixels ("bilinear"). */
  readonly filter?: Filter;
}

/** Images are prepared for a model in one of these ways; the first is the usual one. */
export function usualGeometries(size: Extent): readonly Geometry[] {
  const { height, width } = size;
  const whole: Geometry = { resize: size };
  if (height !== width) return [whole];
  const cropped: Geometry = { resize: shortSideFor(height), crop: size };
  return height < smallest ? [{ resize: height, crop: size }] : [cropped, whole];
}

/** Below this, networks are trained on whole images (CIFAR, faces, person or no person); above it, on the middle of larger ones. */
const smallest = 160;
/** torchvision's and Keras' share of an image that is kept. */
const kept = 0.875;

/** 256 for crops of 224 to 256, as torchvision and Caffe have it; 342 for 299. */
function shortSideFor(crop: number): number {
  return crop >= 224 && crop <= 256 ? 256 : Math.round(crop / kept);
}

/** The size that a geometry gives, where it does not depend on the image. */
export function sizeOf({ resize, crop }: Geometry): Extent | undefined {
  return crop ?? (typeof resize === "object" ? resize : undefined);
}

/** "resize=256 crop=224", as `parsePreprocessing` reads it. */
export function geometryText({ resize, crop, filter }: Geometry): string {
  return [
    ...(resize === undefined ? [] : [`resize=${typeof resize === "number" ? resize : extentText(resize)}`]),
    ...(crop === undefined ? [] : [`crop=${crop.height === crop.width ? crop.height : extentText(crop)}`]),
    ...(filter === undefined || filter === "bilinear" ? [] : [`filter=${filter}`]),
  ].join(" ");
}

function extentText({ height, width }: Extent): string {
  return `${height}x${width}`;
}

/** Rounds half to even, as Python does. */
function rounded(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

export function fitTo(
  data: Uint8Array,
  from: Extent,
  { resize, crop, filter }: Geometry,
  channels = 3,
): Extent & { readonly data: Uint8Array } {
  const size = resized(from, resize);
  const scaled = resample(data, from, size, filter, channels);
  if (crop === undefined || (crop.height === size.height && crop.width === size.width))
    return { ...size, data: scaled };
  const result = new Uint8Array(crop.height * crop.width * channels);
  const top = rounded((size.height - crop.height) / 2);
  const left = rounded((size.width - crop.width) / 2);
  const firstColumn = Math.max(0, -left);
  const columns = Math.min(crop.width, size.width - left) - firstColumn;
  for (let row = Math.max(0, -top); row < Math.min(crop.height, size.height - top); row++) {
    const start = ((top + row) * size.width + left + firstColumn) * channels;
    result.set(scaled.subarray(start, start + columns * channels), (row * crop.width + firstColumn) * channels);
  }
  return { ...crop, data: result };
}

function resized(from: Extent, resize: number | Extent | undefined): Extent {
  if (resize === undefined) return from;
  if (typeof resize === "object") return resize;
  const { height, width } = from;
  const long = Math.max(1, Math.trunc((resize * Math.max(height, width)) / Math.min(height, width)));
  return height <= width ? { height: resize, width: long } : { height: long, width: resize };
}
