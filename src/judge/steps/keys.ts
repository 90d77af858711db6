/** Names of files in a store: the SHA-256 of a model's file, or of what determines a record. */
import { bytesOfText, stringifyPlain } from "#ir";
import { packageVersion, sha256 } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import { version } from "../../core/version.ts";

/** Other versions of Pith or the runtime can compute other results. */
export const keyVersions = { pith: version, runtime: packageVersion("onnxruntime-node") };

export async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = sha256();
  for await (const chunk of chunks) hash.add(chunk);
  return hash.end();
}

/** @param path relative to the store's folder. A `<key>` without extension is a folder of checkpoints. */
export const isStoreName = (path: string): boolean =>
  /^[0-9a-f]{64}(\.onnx|\.json|\/(last|best)\.onnx(_data.*)?)?$/.test(path);

export const keyText = (key: unknown): Promise<string> => sha256Text([bytesOfText(stringifyPlain([keyVersions, key]))]);
