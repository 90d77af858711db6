/** A small model with samples, for tests of the page. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeToBytes } from "../../src/index.ts";
import { linear, network, relu } from "../../src/learn/nn/index.ts";
import { temporaryFolder } from "../temporary.ts";

/** Writes a classifier of quadrants, and a table of points with their quadrants. */
export async function writeQuadrants(seed = 1): Promise<{ readonly model: string; readonly data: string }> {
  const folder = temporaryFolder();
  const [model, data] = [join(folder, "quadrants.onnx"), join(folder, "points.csv")];
  const net = network({ fc1: linear(2, 64), relu: relu(), fc2: linear(64, 4) }, { input: ["batch", 2], seed });
  await writeFile(model, await encodeToBytes(net));
  const rows = Array.from({ length: 600 }, (_, index) => {
    const [x, y] = [Math.sin(index * 1.7), Math.cos(index * 2.3)];
    return `${x},${y},${2 * Number(x > 0) + Number(y > 0)}`;
  });
  await writeFile(data, ["x,y,label", ...rows].join("\n"));
  return { model, data };
}
