/** Decoding of images: only the number of channels is known before the run. */
import { type Example, table } from "./define.examples.ts";

const decoder = table(
  { except: { run: "ONNX Runtime has no kernel for it" }, sizes: { count: 4, height: Number.NaN, width: Number.NaN } },
  (channels, settings = "") =>
    `(bytes: uint8[count]) y: uint8[height, width, ${channels}] = ImageDecoder(bytes) {${settings}}`,
);

export const imageExamples: readonly Example[] = decoder`
  ImageDecoder | 3
  ImageDecoder to shades of grey | 1 | pixel_format="Grayscale"
  ImageDecoder, blue first | 3 | pixel_format="BGR"
`;
