/** Store of models and records in a folder, as `<digest>.onnx`, `<key>.json`, and folders of training checkpoints. */
import { bytesOfText, encode, open, PithError, parsePlain, stringifyPlain } from "#ir";
import {
  fileKind,
  joinPath,
  makeFolder,
  openFile,
  processSuffix,
  readText,
  removeFile,
  renameFile,
  sha256,
  touchFile,
  trimFolder,
  writeFileAtomically,
} from "#platform";
import { bytesOfFile } from "../../core/files/hash.ts";
import { bestFile, lastFile, readCheckpoint } from "../../learn/train/checkpoint.ts";
import { digestOf, isStoreName, keyText } from "./keys.ts";
import type { ResultStore } from "./store.ts";

/** @param maxBytes maximum bytes of the folder after `trim` (default: unlimited). */
export function folderStore(folder: string, maxBytes?: number): ResultStore {
  const pathOf = (name: string): string => joinPath(folder, name);
  const modelPath = (digest: string): string => pathOf(`${digest}.onnx`);
  const recordPath = async (key: unknown): Promise<string> => pathOf(`${await keyText(key)}.json`);
  const checkpointPath = async (key: unknown): Promise<string> => pathOf(await keyText(key));
  const verifiedDigests = new Set<string>();
  const markUsed = async (path: string): Promise<void> => {
    if (maxBytes !== undefined) await touchFile(path);
  };
  const trim = async (needed: readonly string[]): Promise<void> => {
    if (maxBytes === undefined) return;
    const removed = await trimFolder(folder, maxBytes, isStoreName, new Set(needed.map((digest) => `${digest}.onnx`)));
    for (const name of removed) verifiedDigests.delete(name.replace(/\.onnx$/, ""));
  };
  const has = async (digest: string): Promise<boolean> => {
    await markUsed(modelPath(digest));
    if (verifiedDigests.has(digest)) return true;
    if ((await fileKind(modelPath(digest))) !== "file") return false;
    const isIntact = (await digestOf(bytesOfFile(modelPath(digest)))) === digest;
    if (isIntact) verifiedDigests.add(digest);
    return isIntact;
  };
  const removeCheckpoint = async (checkpoint: string): Promise<void> => {
    for (const file of [lastFile, bestFile]) await removeFile(file(checkpoint));
  };
  return {
    has,
    async keep(model) {
      await makeFolder(folder);
      const hash = sha256();
      async function* hashChunks(): AsyncIterable<Uint8Array> {
        for await (const chunk of encode(model)) {
          hash.add(chunk);
          yield chunk;
        }
      }
      // The name is a hash of the contents, so it is known only after writing.
      const temporaryPath = pathOf(`.model.${processSuffix()}.tmp`);
      await writeFileAtomically(temporaryPath, hashChunks());
      const digest = await hash.end();
      // An existing file has the same contents and may be open.
      if (await has(digest)) await removeFile(temporaryPath);
      else {
        await markUsed(temporaryPath);
        await renameFile(temporaryPath, modelPath(digest));
      }
      verifiedDigests.add(digest);
      return digest;
    },
    open: (digest) => open(modelPath(digest)),
    file: (digest) => openFile(modelPath(digest)),
    records: {
      async read(key) {
        const path = await recordPath(key);
        if ((await fileKind(path)) !== "file") return undefined;
        await markUsed(path);
        return parsePlain(await readText(path));
      },
      async write(key, record) {
        await makeFolder(folder);
        await writeFileAtomically(await recordPath(key), [bytesOfText(stringifyPlain(record))]);
      },
      async checkpoint(key) {
        await makeFolder(folder);
        const checkpoint = await checkpointPath(key);
        const resume = await isCheckpoint(lastFile(checkpoint));
        if (!resume) await removeCheckpoint(checkpoint);
        return { checkpoint, resume };
      },
      removeCheckpoint: async (key) => removeCheckpoint(await checkpointPath(key)),
    },
    trim,
    release: () => trim([]),
  };
}

async function isCheckpoint(path: string): Promise<boolean> {
  if ((await fileKind(path)) === undefined) return false;
  try {
    await readCheckpoint(path);
    return true;
  } catch (error) {
    if (error instanceof PithError) return false;
    throw error;
  }
}
