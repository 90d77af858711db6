/** Store in a folder that several machines share through a bucket (object storage). Each machine finds the results of the others there. */

import { bytesOfText, PithError } from "#ir";
import { fileKind, joinPath, makeFolder, writeFileAtomically } from "#platform";
import { bytesOfFile } from "../../core/files/hash.ts";
import { stringifyPlain } from "../../core/plain.ts";
import { folderStore } from "./folder-store.ts";
import { keyText } from "./keys.ts";
import type { StoreOfResults } from "./store.ts";

/** Storage of named objects. Each object is complete or absent. */
export interface Bucket {
  has(name: string): Promise<boolean>;
  read(name: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  write(name: string, bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
}

/**
 * Returns a store that reads its folder first, then the bucket. A model is written to the bucket before its record, and the record is written to the
 * folder last. So the bucket has every model that a record in the folder refers to. Checkpoints are not copied to the bucket.
 * @param folder local folder, which several processes of this machine can share.
 */
export function bucketStore(folder: string, bucket: Bucket): StoreOfResults {
  const local = folderStore(folder);
  const modelName = (digest: string): string => `${digest}.onnx`;
  const recordName = async (key: unknown): Promise<string> => `${await keyText(key)}.json`;
  const download = async (name: string): Promise<boolean> => {
    const bytes = await bucket.read(name);
    if (bytes === undefined) return false;
    await makeFolder(folder);
    await writeFileAtomically(joinPath(folder, name), bytes);
    return true;
  };
  const downloadModel = async (digest: string): Promise<void> => {
    const name = modelName(digest);
    if ((await local.has(digest)) || ((await download(name)) && (await local.has(digest)))) return;
    const state = (await fileKind(joinPath(folder, name))) === undefined ? "is no longer there" : "is damaged";
    throw new PithError("E_FILE", `A model of the store, ${name}, ${state}.`, {
      hint: "Remove it from the bucket, if it is there, and run the same command again: what is missing is computed again.",
    });
  };
  return {
    ...local,
    async keep(model) {
      const digest = await local.keep(model);
      const name = modelName(digest);
      if (!(await bucket.has(name))) await bucket.write(name, bytesOfFile(joinPath(folder, name)));
      return digest;
    },
    async open(digest) {
      await downloadModel(digest);
      return local.open(digest);
    },
    async file(digest) {
      await downloadModel(digest);
      return local.file(digest);
    },
    // This method does not download a model, because most models between two steps are never read.
    has: async (digest) => (await local.has(digest)) || bucket.has(modelName(digest)),
    records: {
      ...local.records,
      async read(key) {
        return (
          (await local.records.read(key)) ??
          ((await download(await recordName(key))) ? local.records.read(key) : undefined)
        );
      },
      async write(key, record) {
        await bucket.write(await recordName(key), [bytesOfText(stringifyPlain(record))]);
        await local.records.write(key, record);
      },
    },
  };
}
