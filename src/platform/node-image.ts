/** Images in Node: by libjpeg-turbo and libpng, in threads of their own, where sharp is installed; in JavaScript otherwise. */
import { damaged, imageHeader, mostPixels, type Pixels } from "./image.ts";

type Sharp = typeof import("sharp").default;
let loaded: Promise<Sharp | undefined> | undefined;

/** Undefined where it is not installed, or not for this machine. */
function loadSharp(): Promise<Sharp | undefined> {
  loaded ??= import("sharp").then(
    (module) => {
      // A data set shows every image once: what libvips would keep of them is never asked for again.
      module.default.cache(false);
      return module.default;
    },
    () => undefined,
  );
  return loaded;
}

/** The extensions of images that can be decoded here. */
export async function imageExtensions(): Promise<readonly string[]> {
  return [".jpg", ".jpeg", ".png", ...((await loadSharp()) === undefined ? [] : [".webp"])];
}

/**
 * The pixels of a JPEG, PNG or WebP file: RGB, upright, colour profiles ignored, as Pillow decodes it bit by bit.
 * @throws PithError E_DATA for a file that is no image, or damaged.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Pixels> {
  const { format, components } = imageHeader(bytes, name);
  const sharp = await loadSharp();
  // libvips turns inks into light by a profile of its own, other tools do not.
  const inks = format === "JPEG" && components === 4;
  if (sharp === undefined || inks) return (await import("./image-plain.ts")).decodePlainly(bytes, name);
  try {
    const { data, info } = await sharp(bytes, { failOn: "error", ignoreIcc: true, limitInputPixels: mostPixels })
      .autoOrient()
      .removeAlpha()
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, data: channels === 1 ? grey(data) : data };
  } catch (cause) {
    throw damaged(format, name, cause);
  }
}

function grey(values: Uint8Array): Uint8Array {
  const data = new Uint8Array(values.length * 3);
  values.forEach((value, pixel) => {
    data.fill(value, 3 * pixel, 3 * pixel + 3);
  });
  return data;
}
