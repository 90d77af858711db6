/** Images decoded in JavaScript alone: where no native decoder is installed. Slower by a factor of five to ten. */
import { decode as decodePng } from "fast-png";
import { decode as decodeJpeg } from "jpeg-js";
import { PithError } from "../errors.ts";
import { damaged, imageFormat, jpegHeader, mostPixels, type Pixels, upright } from "./image.ts";

/**
 * The pixels of a JPEG or PNG file. Chroma is enlarged without smoothing, so single values differ a little from libjpeg's.
 * @throws PithError E_DATA for a file that is no image, or damaged.
 */
export function decodePlainly(bytes: Uint8Array, name: string): Pixels {
  const format = imageFormat(bytes, name);
  try {
    if (format === "PNG") return fromPng(bytes, name);
    const { width, height, data } = decodeJpeg(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: mostPixels / 1e6,
      maxMemoryUsageInMB: 4096,
    });
    return upright({ width, height, data }, jpegHeader(bytes).orientation);
  } catch (cause) {
    throw damaged(format, name, cause);
  }
}

function fromPng(bytes: Uint8Array, name: string): Pixels {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The header is the first chunk: width and height are there before anything is allocated for them.
  if (bytes.length > 24 && view.getUint32(16) * view.getUint32(20) > mostPixels) {
    throw new PithError("E_DATA", `${name} claims to be ${view.getUint32(16)}×${view.getUint32(20)} pixels.`);
  }
  const { width, height, data, channels, depth, palette } = decodePng(bytes, { checkCrc: true });
  const result = new Uint8Array(width * height * 3);
  const sample = sampler(data, width, channels, depth);
  const scale = palette === undefined && depth < 8 ? 255 / (2 ** depth - 1) : 1;
  for (let pixel = 0; pixel < width * height; pixel++) {
    const first = sample(pixel, 0);
    const color = palette?.[first];
    for (let channel = 0; channel < 3; channel++) {
      const value = palette === undefined ? (channels < 3 ? first : sample(pixel, channel)) : (color?.[channel] ?? 0);
      result[3 * pixel + channel] = value * scale;
    }
  }
  return { width, height, data: result };
}

/** Samples as 0 to 255, or as places in the palette where there is one (those have 8 bits or fewer, and no more than one channel). */
function sampler(
  data: ArrayLike<number>,
  width: number,
  channels: number,
  depth: number,
): (pixel: number, channel: number) => number {
  if (depth === 16) return (pixel, channel) => (data[pixel * channels + channel] ?? 0) >> 8;
  if (depth === 8) return (pixel, channel) => data[pixel * channels + channel] ?? 0;
  return (pixel) => {
    const row = Math.floor(pixel / width);
    const bit = (pixel % width) * depth;
    const byte = data[row * Math.ceil((width * depth) / 8) + (bit >> 3)] ?? 0;
    return (byte >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  };
}
