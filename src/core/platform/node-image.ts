/** Decodes images in Node: with sharp, or in JavaScript if sharp is not installed. */
import { errorMessage } from "../errors.ts";
import { damagedImageError, imageHeader, maxPixels, type Pixels } from "./image.ts";

type Sharp = typeof import("sharp").default;
let sharpPromise: Promise<Sharp | undefined> | undefined;

/** Returns sharp; undefined if it cannot be loaded. */
function loadSharp(): Promise<Sharp | undefined> {
  sharpPromise ??= import("sharp").then(
    (module) => {
      // Data sets read every image once, so the cache of libvips (used by sharp) has no use.
      module.default.cache(false);
      return module.default;
    },
    () => undefined,
  );
  return sharpPromise;
}

/** Matches warnings of libjpeg about pixels that it replaced. Warnings about extra bytes between segments are harmless. */
const lostPixels = /Corrupt JPEG data: (?!\d+ extraneous)|Premature end of JPEG/;

export async function imageExtensions(): Promise<readonly string[]> {
  return [".jpg", ".jpeg", ".png", ...((await loadSharp()) === undefined ? [] : [".webp"])];
}

/** Decodes JPEG, PNG or WebP to upright RGB without color profiles, with sharp as Pillow. @throws PithError E_DATA if the file is not a valid image. */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { format, components } = imageHeader(bytes, name);
  const sharp = await loadSharp();
  // libvips converts CMYK with its built-in color profile, which other tools do not use.
  const isCmyk = format === "JPEG" && components === 4;
  if (sharp === undefined || isCmyk) return (await import("./image-plain.ts")).decodePlainly(bytes, name);
  const decode = (failOn: "error" | "warning") =>
    sharp(bytes, { failOn, ignoreIcc: true, limitInputPixels: maxPixels })
      .autoOrient()
      .removeAlpha()
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
  try {
    const decoding =
      format === "JPEG"
        ? decode("warning").catch((warning: unknown) => {
            if (lostPixels.test(errorMessage(warning))) throw warning;
            return decode("error");
          })
        : decode("error");
    const { data, info } = await decoding;
    const { width, height, channels } = info;
    return { width, height, data: channels === 1 ? grayPixels(data) : data };
  } catch (cause) {
    throw damagedImageError(format, name, cause);
  }
}

function grayPixels(values: Uint8Array): Uint8Array {
  const data = new Uint8Array(values.length * 3);
  values.forEach((value, pixel) => {
    data.fill(value, 3 * pixel, 3 * pixel + 3);
  });
  return data;
}
