/** Reads the headers of image files, and defines the pixel format to which images are decoded: upright 8-bit RGB. */

import { dataError, errorMessage, PithError } from "../errors.ts";
import { viewOf } from "../tensor/dense.ts";

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Values as height × width × 3 (red, green, blue). */
  readonly data: Uint8Array;
}

/** The maximum number of pixels of an image. A larger size in a header is an error or an attack. */
export const maxPixels = 2 ** 28;

/** The maximum number of pixels per byte of the file: DEFLATE expands at most 1,032 times, JPEG needs a bit per 64 pixels. */
const pixelsOfByte = { PNG: 8 * 1032, JPEG: 8 * 64, WebP: Number.POSITIVE_INFINITY } as const;

export type ImageFormat = "JPEG" | "PNG" | "WebP";

export interface ImageHeader {
  readonly format: ImageFormat;
  readonly width: number;
  readonly height: number;
  /** The EXIF orientation, from 1 (upright) to 8, see EXIF 2.3, table 4. */
  readonly orientation: number;
  /** The number of components of a JPEG: 1 for gray, 3 for color, 4 for CMYK. */
  readonly components: number;
}

/** Reads the header of an image. @throws PithError E_DATA if it is not JPEG, PNG or WebP, or has too few bytes for its stated pixels. */
export function imageHeader(bytes: Uint8Array, name: string): ImageHeader {
  const format = imageFormat(bytes, name);
  const header = { format, ...headers[format](bytes) };
  const { width, height } = header;
  const pixels = width * height;
  if (pixels <= maxPixels && pixels <= pixelsOfByte[format] * bytes.length) return header;
  const text = `${name} claims to be ${width}×${height} pixels`;
  const limit =
    pixels > maxPixels
      ? `: larger images than ${maxPixels / 2 ** 20} megapixels are not read`
      : `, and has ${bytes.length} bytes`;
  throw dataError(`${text}${limit}.`, { hint: "Remove it from the data, or replace it." });
}

function imageFormat(bytes: Uint8Array, name: string): ImageFormat {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "JPEG";
  if (bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47) return "PNG";
  if (textAt(bytes, 0) === "RIFF" && textAt(bytes, 8) === "WEBP") return "WebP";
  const problem = bytes.length === 0 ? "is empty" : "is neither a JPEG nor a PNG nor a WebP image";
  throw dataError(`${name} ${problem}.`, { hint: "Convert it, or remove it from the data." });
}

function textAt(bytes: Uint8Array, start: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + 4));
}

const headers = { PNG: pngHeader, JPEG: jpegHeader, WebP: webpHeader } as const;

/** Reads the size from the first chunk of a WebP file, which describes the canvas or the only frame (RFC 9649). */
function webpHeader(bytes: Uint8Array): Omit<ImageHeader, "format"> {
  const kind = textAt(bytes, 12);
  const readNumber = (at: number, size: number): number =>
    bytes.subarray(at, at + size).reduceRight((sum, byte) => 256 * sum + byte, 0);
  const sizeBits = readNumber(21, 4);
  const [width, height] =
    kind === "VP8X"
      ? [1 + readNumber(24, 3), 1 + readNumber(27, 3)]
      : kind === "VP8L"
        ? [1 + (sizeBits % 2 ** 14), 1 + (Math.floor(sizeBits / 2 ** 14) % 2 ** 14)]
        : [readNumber(26, 2) % 2 ** 14, readNumber(28, 2) % 2 ** 14];
  return { width, height, orientation: 1, components: 3 };
}

function pngHeader(bytes: Uint8Array): Omit<ImageHeader, "format"> {
  const view = viewOf(bytes);
  const size = (at: number): number => (bytes.length < at + 4 ? 0 : view.getUint32(at));
  return { width: size(16), height: size(20), orientation: 1, components: 3 };
}

export function damagedImageError(format: string, name: string, cause: unknown): PithError {
  if (cause instanceof PithError) return cause;
  const reason = errorMessage(cause).split("\n")[0]?.replace(/\.+$/, "") ?? "";
  return dataError(`${name}: the ${format} image is damaged or cut off (${reason}).`, {
    cause,
    hint: "Remove it from the data, or replace it.",
  });
}

function jpegHeader(bytes: Uint8Array): Omit<ImageHeader, "format"> {
  const view = viewOf(bytes);
  let [orientation, components, width, height] = [1, 3, 0, 0];
  let segmentStart = 2;
  while (segmentStart + 4 <= bytes.length && bytes[segmentStart] === 0xff) {
    const marker = bytes[segmentStart + 1] ?? 0;
    if (marker === 0xda) break;
    const end = Math.min(bytes.length, segmentStart + 2 + view.getUint16(segmentStart + 2));
    if (marker === 0xe1 && end - segmentStart > 18 && view.getUint32(segmentStart + 4) === exif) {
      orientation = readOrientation(view, segmentStart + 10, end);
    }
    // SOF0 to SOF15 start a frame, except for three markers with other meanings.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame && segmentStart + 10 <= bytes.length)
      [height, width, components] = [
        view.getUint16(segmentStart + 5),
        view.getUint16(segmentStart + 7),
        view.getUint8(segmentStart + 9),
      ];
    if (end <= segmentStart + 2) break;
    segmentStart = end;
  }
  return { width, height, orientation, components };
}

/** The identifier "Exif" of an application segment. */
const exif = 0x45786966;
const orientationTag = 0x0112;

/** Returns the orientation that an EXIF block states, or 1. The TIFF header is at `start`; directory entries have 12 bytes. */
function readOrientation(view: DataView, start: number, end: number): number {
  const isLittleEndian = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, isLittleEndian);
  if (directory + 2 > end) return 1;
  const entries = view.getUint16(directory, isLittleEndian);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (at + 12 > end) return 1;
    if (view.getUint16(at, isLittleEndian) !== orientationTag) continue;
    const value = view.getUint16(at + 8, isLittleEndian);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** Returns pixels with an EXIF orientation applied. */
export function upright({ width, height, data }: Pixels, orientation: number): Pixels {
  if (orientation === 1) return { width, height, data };
  const isTransposed = orientation > 4;
  const [newWidth, newHeight] = isTransposed ? [height, width] : [width, height];
  const result = new Uint8Array(data.length);
  // Whether the stored pixels are read from right to left, and from bottom to top.
  const isMirroredX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const isMirroredY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const [column, row] = isTransposed ? [y, x] : [x, y];
      const fromX = isMirroredX ? width - 1 - column : column;
      const fromY = isMirroredY ? height - 1 - row : row;
      const from = 3 * (fromY * width + fromX);
      const to = 3 * (y * newWidth + x);
      result[to] = data[from] ?? 0;
      result[to + 1] = data[from + 1] ?? 0;
      result[to + 2] = data[from + 2] ?? 0;
    }
  }
  return { width: newWidth, height: newHeight, data: result };
}
