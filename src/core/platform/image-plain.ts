/** Decodes images in JavaScript, for machines without sharp. */
import { decode as decodePng } from "fast-png";
import { Unzlib } from "fflate";
import { decode as decodeJpeg } from "jpeg-js";
import { dataError } from "../errors.ts";
import { concatBytes, viewOf } from "../tensor/dense.ts";
import { damagedImageError, imageHeader, maxPixels, type Pixels, upright } from "./image.ts";

/** Decodes JPEG or PNG. Chroma is not smoothed, so values differ slightly from libjpeg. @throws PithError E_DATA if the file is not a valid image. */
export function decodePlainly(bytes: Uint8Array, name: string): Pixels {
  const { format, orientation } = imageHeader(bytes, name);
  try {
    if (format === "PNG") return fromPng(bytes);
    if (format === "WebP")
      throw dataError(`${name} is a WebP image, which is read where sharp is installed.`, {
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
    throw damagedImageError(format, name, cause);
  }
}

function fromPng(bytes: Uint8Array): Pixels {
  const { width, height, data, channels, depth, palette } = decodePng(pixelChunks(bytes), { checkCrc: true });
  const result = new Uint8Array(width * height * 3);
  const sample = createSampler(data, width, channels, depth);
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

const pixelChunkTypes: ReadonlySet<string> = new Set(["IHDR", "PLTE", "IDAT", "IEND"]);

/** Removes a PNG's metadata, which can unpack to any size. @throws Error if the pixel data exceeds the size in the header. */
function pixelChunks(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const signature = 8;
  const parts = [bytes.subarray(0, signature)];
  let remaining = Number.POSITIVE_INFINITY;
  const inflator = new Unzlib((piece) => {
    remaining -= piece.length;
  });
  for (let chunkStart = signature; chunkStart + 12 <= bytes.length; ) {
    const next = chunkStart + 12 + view.getUint32(chunkStart);
    const type = String.fromCharCode(...bytes.subarray(chunkStart + 4, chunkStart + 8));
    const content = bytes.subarray(chunkStart + 8, next - 4);
    if (pixelChunkTypes.has(type)) parts.push(bytes.subarray(chunkStart, next));
    if (type === "IHDR" && content.length >= 10) remaining = maxInflatedBytes(view, chunkStart + 8);
    for (let start = 0; type === "IDAT" && start < content.length; start += inflatedPiece) {
      inflator.push(content.subarray(start, start + inflatedPiece));
      if (remaining < 0) throw new Error("it holds more than its pixels");
    }
    chunkStart = next;
  }
  return concatBytes(parts);
}

/** The number of compressed bytes that are decompressed between two checks of the total size. */
const inflatedPiece = 4096;
/** The number of samples per pixel, by the PNG color type. */
const samplesOfPixel: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Returns the maximum bytes of unpacked pixel lines with filter bytes, whose number interlacing in seven passes at most doubles. */
function maxInflatedBytes(header: DataView, at: number): number {
  const [width, height, depth] = [header.getUint32(at), header.getUint32(at + 4), header.getUint8(at + 8)];
  const samples = samplesOfPixel[header.getUint8(at + 9)] ?? 4;
  return 2 * (height + 8) * (2 + Math.ceil((width * samples * depth) / 8));
}

/** Returns a reader of a pixel's samples: the upper 8 of 16 bits, and fewer than 8 bits (gray, palette indices) as stored. */
function createSampler(
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
