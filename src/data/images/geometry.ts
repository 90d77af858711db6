/**
 * Resizes and center-crops images with the results of torchvision's `Resize` and `CenterCrop`. A crop offset of half a pixel rounds to even. Images
 * smaller than the crop are padded with black.
 */
import { roundHalfEven } from "#ir";
import { type Filter, resample } from "./resample.ts";

export interface Extent {
  readonly height: number;
  readonly width: number;
}

export interface Geometry {
  /** Length of the short side (proportions are kept), or height and width. */
  readonly resize?: number | Extent;
  readonly crop?: Extent;
  /** Interpolation of a resize; "bilinear" by default. */
  readonly filter?: Filter;
}

/** Returns the resizes and crops with which networks of this input size are usually trained, the default first. */
export function commonGeometries(size: Extent): readonly Geometry[] {
  const { height, width } = size;
  const resizedImage: Geometry = { resize: size };
  if (height !== width) return [resizedImage];
  const croppedImage: Geometry = { resize: shortSideFor(height), crop: size };
  return height < minCropped ? [{ resize: height, crop: size }] : [croppedImage, resizedImage];
}

/** Networks with smaller images (CIFAR, faces) are usually trained on complete images instead of center crops. */
const minCropped = 160;
/** Share of each side that torchvision and Keras keep in a center crop. */
const cropShare = 0.875;

/** Returns the short side before a crop: 256 for crops of 224 to 256, as in torchvision and Caffe, and 342 for 299. */
function shortSideFor(crop: number): number {
  return crop >= 224 && crop <= 256 ? 256 : Math.round(crop / cropShare);
}

export function sizeOf({ resize, crop }: Geometry): Extent | undefined {
  return crop ?? (typeof resize === "object" ? resize : undefined);
}

/** Formats a geometry as `parsePreprocessing` reads it, such as "resize=256 crop=224". */
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

/** Returns a negative offset for an image smaller than the crop: torchvision then pads ⌊(crop − size) / 2⌋ first. */
function cropOffset(size: number, crop: number): number {
  return size < crop ? -Math.floor((crop - size) / 2) : roundHalfEven((size - crop) / 2);
}

export function fitImage(
  data: Uint8Array,
  extent: Extent,
  { resize, crop, filter }: Geometry,
  channels = 3,
): Extent & { readonly data: Uint8Array } {
  const size = resizedExtent(extent, resize);
  const resizedData = resample(data, extent, size, filter, channels);
  if (crop === undefined || (crop.height === size.height && crop.width === size.width))
    return { ...size, data: resizedData };
  const result = new Uint8Array(crop.height * crop.width * channels);
  const top = cropOffset(size.height, crop.height);
  const start = cropOffset(size.width, crop.width);
  const firstColumn = Math.max(0, -start);
  const columns = Math.min(crop.width, size.width - start) - firstColumn;
  for (let row = Math.max(0, -top); row < Math.min(crop.height, size.height - top); row++) {
    const sourceStart = ((top + row) * size.width + start + firstColumn) * channels;
    result.set(
      resizedData.subarray(sourceStart, sourceStart + columns * channels),
      (row * crop.width + firstColumn) * channels,
    );
  }
  return { ...crop, data: result };
}

function resizedExtent(extent: Extent, resize: number | Extent | undefined): Extent {
  if (resize === undefined) return extent;
  if (typeof resize === "object") return resize;
  const { height, width } = extent;
  const longSide = Math.max(1, Math.trunc((resize * Math.max(height, width)) / Math.min(height, width)));
  return height <= width ? { height: resize, width: longSide } : { height: longSide, width: resize };
}
