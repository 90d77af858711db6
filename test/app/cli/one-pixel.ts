/** Images of one pixel, and a model that tells how they were prepared. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";

/** An MNIST folder of images of one pixel: by part, the bytes that are of class 0 and of class 1, by turns. */
export function onePixel(
  name: string,
  parts: Readonly<Record<"train" | "t10k", readonly [number, number]>>,
  count = 80,
): string {
  const folder = join(temporaryFolder(), name);
  mkdirSync(folder);
  for (const [part, bytes] of Object.entries(parts)) {
    const labels = Array.from({ length: count }, (_, sample) => sample % 2);
    const pixels = labels.map((label) => bytes[label] ?? 0);
    const header = [0, 0, 0, count];
    const images = Uint8Array.of(0, 0, 8, 3, ...header, 0, 0, 0, 1, 0, 0, 0, 1, ...pixels);
    writeFileSync(join(folder, `${part}-images-idx3-ubyte`), images);
    writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), Uint8Array.of(0, 0, 8, 1, ...header, ...labels));
  }
  return folder;
}

/** Class 1 where the pixel is above one half: of bytes above 127 as "unit" prepares them, above 72 as "mnist" does. */
export async function aboveHalf(): Promise<string> {
  const file = join(temporaryFolder(), "half.onnx");
  const text = `opset 21
graph (image: float32[batch, 1, 1, 1]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 1] parameter = [[-9], [9]]
  fc.bias: float32[2] parameter = [4.5, -4.5]
  flat = Flatten(image)
  logits = Gemm "fc" (flat, fc.weight, fc.bias) {transB=1}
}
`;
  await save(parseModel(text), file);
  return file;
}
