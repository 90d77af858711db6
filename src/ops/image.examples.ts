/** Decoding of pictures: only the number of channels is known before the run. */
import { type Example, example } from "./define.examples.ts";

const decoder = (title: string, channels: number, settings = ""): Example =>
  example(title, `(bytes: uint8[count]) y: uint8[height, width, ${channels}] = ImageDecoder(bytes) {${settings}}`, {
    except: { run: "ONNX Runtime has no kernel for it" },
    sizes: { count: 4, height: Number.NaN, width: Number.NaN },
  });

export const imageExamples: readonly Example[] = [
  decoder("ImageDecoder", 3),
  decoder("ImageDecoder to shades of grey", 1, 'pixel_format="Grayscale"'),
  decoder("ImageDecoder, blue first", 3, 'pixel_format="BGR"'),
];
