/** The names of what a store keeps: the SHA-256 of a file, or of all that a record follows from. */
import { packageVersion, sha256 } from "#platform";
import { sha256Text } from "../data/hash.ts";
import { plainText } from "../data/plain-text.ts";
import { bytesOfText } from "../tensor/dense.ts";
import { version } from "../version.ts";

/** Another Pith or another runtime may compute other results. */
export const computedBy = { pith: version, runtime: packageVersion("onnxruntime-node") };

export async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = sha256();
  for await (const chunk of chunks) hash.add(chunk);
  return hash.end();
}

/** Whether a store gives a file this name, relative to its folder. `<key>` alone is a folder of checkpoints. */
export const isStoreName = (path: string): boolean =>
  /^[0-9a-f]{64}(\.onnx|\.json|\/(last|best)\.onnx(_data.*)?)?$/.test(path);

export const keyText = (key: unknown): Promise<string> => sha256Text([bytesOfText(plainText([computedBy, key]))]);
