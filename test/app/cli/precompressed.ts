/** A model whose file compresses, and the check of its compressed copies. */
import { readFileSync } from "node:fs";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

export const wide = `opset 21
graph (x: float32[n, 64]) -> (y: float32[n, 64]) {
  w: float32[64, 64] = random(seed 1)
  y = MatMul(x, w)
}`;

/** Returns whether both compressed copies have the content of a file. */
export const isCopy = (path: string): boolean =>
  gunzipSync(readFileSync(`${path}.gz`)).equals(readFileSync(path)) &&
  brotliDecompressSync(readFileSync(`${path}.br`)).equals(readFileSync(path));
