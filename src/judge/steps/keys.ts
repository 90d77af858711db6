/** Names in a store: the SHA-256 of a file, or of all inputs of a record. */
import { packageVersion, sha256 } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import { plainText } from "../../core/plain.ts";
import { bytesOfText } from "../../core/tensor/dense.ts";
import { version } from "../../core/version.ts";

/** Other versions of Pith or the runtime can compute other results. */
export const computedBy = { pith: version, runtime: packageVersion("onnxruntime-node") };

export async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = sha256();
  for await (const chunk of chunks) hash.add(chunk);
  return hash.end();
}

/** Returns whether a store gives a file this relative name. `<key>` alone is a folder of checkpoints. */
export const isStoreName = (path: string): boolean =>
  /^[0-9a-f]{64}(\.onnx|\.json|\/(last|best)\.onnx(_data.*)?)?$/.test(path);

export const keyText = (key: unknown): Promise<string> => sha256Text([bytesOfText(plainText([computedBy, key]))]);
