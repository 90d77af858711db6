/** Drawn images of squares, circles and triangles with their boxes, and a detector of them in the form of YOLO exports. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { float32 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { npzBytes } from "../../src/data/files/npy.ts";

/** Pixels of an image along each axis, pixels of a cell, and cells along each axis. */
export const [side, stride, cells] = [64, 8, 8];
export const classes = 3;
/** Rows of the labels of an image. */
export const maxBoxes = 3;

/** The detector that `train.ts` has trained: input "images" [N, 1, 64, 64], output "output0" [N, 4 + 3, 64]. */
export const detectorFile = join(dirname(fileURLToPath(import.meta.url)), "shapes.onnx");

export interface Shapes {
  readonly count: number;
  /** [count, 1, side, side], between 0 and 1. */
  readonly images: Float32Array;
  /** [count, maxBoxes, 5]: class, x1, y1, x2, y2; class −1 in rows without a box. */
  readonly labels: Float32Array;
}

/** Draws images with one to three shapes that do not overlap. */
export function drawShapes(count: number, seed: number): Shapes {
  const generator = random(seed, "shapes");
  const images = new Float32Array(count * side * side);
  const labels = new Float32Array(count * maxBoxes * 5).fill(-1);
  for (let image = 0; image < count; image++) {
    const pixels = images.subarray(image * side * side, (image + 1) * side * side);
    for (const index of pixels.keys()) pixels[index] = generator.uniform(0, 0.2);
    const boxes: number[][] = [];
    const shapes = 1 + Math.floor(generator.uniform(0, maxBoxes));
    for (let attempt = 0; attempt < 20 && boxes.length < shapes; attempt++) {
      const size = Math.round(generator.uniform(12, 25));
      const [x, y] = [0, 0].map(() => Math.floor(generator.uniform(0, side - size)));
      const [index, brightness] = [Math.floor(generator.uniform(0, classes)), generator.uniform(0.5, 0.9)];
      if (x === undefined || y === undefined) continue;
      const isFree = boxes.every(
        ([, x1 = 0, y1 = 0, x2 = 0, y2 = 0]) => x >= x2 || y >= y2 || x + size <= x1 || y + size <= y1,
      );
      if (!isFree) continue;
      boxes.push([index, x, y, x + size, y + size]);
      for (let row = 0; row < size; row++)
        for (let column = 0; column < size; column++)
          if (isInside(index, (column + 0.5) / size, (row + 0.5) / size))
            pixels[(y + row) * side + x + column] = brightness + generator.uniform(0, 0.1);
    }
    labels.set(boxes.flat(), image * maxBoxes * 5);
  }
  return { count, images, labels };
}

/** Returns whether a point of the unit square belongs to a square, a circle or a triangle. */
function isInside(shape: number, x: number, y: number): boolean {
  if (shape === 0) return true;
  return shape === 1 ? (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25 : Math.abs(x - 0.5) <= y / 2;
}

/** Writes images, and on request their labels, as the only split of an archive of arrays. */
export async function writeShapes(
  file: string,
  { count, images, labels }: Shapes,
  options: { readonly labelled: boolean },
): Promise<void> {
  const boxes = options.labelled ? { labels: float32([count, maxBoxes, 5], labels) } : {};
  writeFileSync(file, await npzBytes({ images: float32([count, 1, side, side], images), ...boxes }));
}
