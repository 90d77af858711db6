/** Decodes images in JavaScript if no native decoder is installed: five to ten times slower. */
import { decode as decodePng } from "fast-png";
import { Unzlib } from "fflate";
import { decode as decodeJpeg } from "jpeg-js";
import { PithError } from "../errors.ts";
import { concatBytes, viewOf } from "../tensor/dense.ts";
import { damaged, imageHeader, maxPixels, type Pixels, upright } from "./image.ts";

/**
 * Decodes a JPEG or PNG file. Chroma is upsampled without smoothing, so single values differ slightly from libjpeg's.
 * @throws PithError E_DATA for a file that is damaged or not an image.
 */
export function decodePlainly(bytes: Uint8Array, name: string): Pixels {
  const { format, orientation } = imageHeader(bytes, name);
  try {
    if (format === "PNG") return fromPng(bytes);
    if (format === "WebP")
      throw new PithError("E_DATA", `${name} is a WebP image, which is read where sharp is installed.`, {
        hint: "npm install sharp",
      });
    const { width, height, data } = decodeJpeg(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: maxPixels / 1e6,
      maxMemoryUsageInMB: 4096,
    });
    return upright({ width, height, data }, orientation);
  } catch (cause) {
    throw damaged(format, name, cause);
  }
}

function fromPng(bytes: Uint8Array): Pixels {
  const { width, height, data, channels, depth, palette } = decodePng(pixelChunks(bytes), { checkCrc: true });
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

const kept: ReadonlySet<string> = new Set(["IHDR", "PLTE", "IDAT", "IEND"]);

/**
 * Returns a PNG file without metadata: profiles and texts can unpack to any size.
 * @throws Error if the data unpacks to more than the header's pixels.
 */
function pixelChunks(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const signature = 8;
  const parts = [bytes.subarray(0, signature)];
  let remaining = Number.POSITIVE_INFINITY;
  const inflator = new Unzlib((piece) => {
    remaining -= piece.length;
  });
  for (let at = signature; at + 12 <= bytes.length; ) {
    const next = at + 12 + view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, next - 4);
    if (kept.has(type)) parts.push(bytes.subarray(at, next));
    if (type === "IHDR" && content.length >= 10) remaining = maxInflatedBytes(view, at + 8);
    for (let start = 0; type === "IDAT" && start < content.length; start += inflatedPiece) {
      inflator.push(content.subarray(start, start + inflatedPiece));
      if (remaining < 0) throw new Error("it holds more than its pixels");
    }
    at = next;
  }
  return concatBytes(parts);
}

/** The packed bytes to unpack before checking the unpacked size: they yield at most 4 MiB. */
const inflatedPiece = 4096;
const samplesOfPixel: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Returns the maximum bytes of pixel lines with filter bytes; seven interlace passes at most double their number. */
function maxInflatedBytes(header: DataView, at: number): number {
  const [width, height, depth] = [header.getUint32(at), header.getUint32(at + 4), header.getUint8(at + 8)];
  const samples = samplesOfPixel[header.getUint8(at + 9)] ?? 4;
  return 2 * (height + 8) * (2 + Math.ceil((width * samples * depth) / 8));
}

/** Returns a function that reads samples as 0 to 255, or as palette indices (single channel, at most 8 bits). */
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
