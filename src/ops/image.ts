/** ImageDecoder: the bytes of an image's file → height × width × channels, which stand in those bytes alone. */
import { Miss } from "../errors.ts";
import { defineOp, type Op } from "./define.ts";
import { text } from "./shared/attributes.ts";

const ImageDecoder = defineOp<{ readonly format: string }>({
  name: "ImageDecoder",
  read: (site) => ({ format: text(site, "pixel_format", "RGB") }),
  infer: (s, site) => [{ type: "uint8", dims: [site.open(0, 0), site.open(0, 1), s.format === "Grayscale" ? 1 : 3] }],
  axes: new Miss("decodes a file"),
  gradient: new Miss("decodes a file"),
  quantize: new Miss("computes integers"),
});

export const imageOperators: readonly Op[] = [ImageDecoder];
