/**
 * What a run has made: models under the hash of their file, and plain records under the hash of all that they follow from, so that nothing is
 * taken for what it is not. In a folder, or where there is no disk in memory.
 */
import {
  bytesSource,
  fileKind,
  joinPath,
  makeFolder,
  openFile,
  readText,
  removeFile,
  renameFile,
  sha256,
  temporaryFolder,
  writeFileAtomically,
} from "#platform";
import { bytesOfFile } from "../data/file-hash.ts";
import { sha256Text } from "../data/hash.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { encode, encodeToBytes, open } from "../onnx/index.ts";
import { bytesOfText } from "../tensor/dense.ts";
import type { ByteSource } from "../tensor/types.ts";
import { bestFile, lastFile, plainOf, plainText } from "../train/checkpoint.ts";

export interface Store {
  /** The SHA-256 of the file that the original would be. */
  readonly original: string;
  /** Writes a model's file. @returns its SHA-256. */
  keep(model: Model): Promise<string>;
  /** The original, or a model that was kept, each time anew. */
  open(digest: string): Promise<Model>;
  /** Its file. */
  file(digest: string): Promise<ByteSource>;
  /** Whether it is there, whole: a file that outlasts a run may be removed or damaged before the next. */
  has(digest: string): Promise<boolean>;
  /** A record that was written under this key, or undefined. */
  read(key: unknown): Promise<unknown>;
  /** @param record plain data; numbers may be NaN and infinite. */
  write(key: unknown, record: unknown): Promise<void>;
  /** Options of a training that make it keep checkpoints here, and go on from one that is there; none where nothing outlasts the run. */
  checkpoint(key: unknown): Promise<{ readonly checkpoint: string; readonly resume: boolean } | undefined>;
  /** Removes what such a training has kept. */
  removeCheckpoint(key: unknown): Promise<void>;
  /** Removes what does not outlast the run. */
  release(): Promise<void>;
}

/** The SHA-256 of a model's file, which is not written. */
export const modelDigest = (model: Model): Promise<string> => digestOf(encode(model));

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = sha256();
  for await (const chunk of chunks) hash.add(chunk);
  return hash.end();
}

/**
 * @param original it is not written: it lies somewhere already. Its operators go with what is made of it.
 * @param folder where a run that is stopped is continued from, made when there is something to keep; undefined: what is made lies in a temporary
 * folder, or in memory, until it is released.
 */
export async function openStore(original: Model, folder: string | undefined): Promise<Store> {
  const digest = await modelDigest(original);
  const store = folder === undefined ? await temporaryStore() : folderStore(folder);
  return {
    ...store,
    original: digest,
    async open(wanted) {
      if (wanted === digest) return original.clone();
      const model = await store.open(wanted);
      model.graph.operators = original.graph.operators;
      model.place = original.place;
      return model;
    },
    file: async (wanted) => (wanted === digest ? bytesSource(await encodeToBytes(original)) : store.file(wanted)),
    has: async (wanted) => wanted === digest || store.has(wanted),
  };
}

type Room = Omit<Store, "original">;

const withoutCheckpoints: Pick<Store, "checkpoint" | "removeCheckpoint"> = {
  checkpoint: async () => undefined,
  removeCheckpoint: async () => {},
};

async function temporaryStore(): Promise<Room> {
  try {
    const { path, remove } = await temporaryFolder();
    return { ...folderStore(path), ...withoutCheckpoints, release: remove };
  } catch (error) {
    if (error instanceof PithError) return memoryStore();
    throw error;
  }
}

async function keyText(key: unknown): Promise<string> {
  return sha256Text([bytesOfText(plainText(key))]);
}

function folderStore(folder: string): Room {
  const at = (name: string): string => joinPath(folder, name);
  const modelAt = (digest: string): string => at(`${digest}.onnx`);
  const checkpointAt = async (key: unknown): Promise<string> => at(await keyText(key));
  const whole = new Set<string>();
  const has = async (digest: string): Promise<boolean> => {
    if (whole.has(digest)) return true;
    if ((await fileKind(modelAt(digest))) !== "file") return false;
    const isWhole = (await digestOf(bytesOfFile(modelAt(digest)))) === digest;
    if (isWhole) whole.add(digest);
    return isWhole;
  };
  return {
    has,
    async keep(model) {
      await makeFolder(folder);
      const hash = sha256();
      async function* hashed(): AsyncIterable<Uint8Array> {
        for await (const chunk of encode(model)) {
          hash.add(chunk);
          yield chunk;
        }
      }
      // Its name is known once it is written.
      const unnamed = at("unnamed.onnx");
      await writeFileAtomically(unnamed, hashed());
      const digest = await hash.end();
      // One that is there holds the same, and may be open.
      if (await has(digest)) await removeFile(unnamed);
      else await renameFile(unnamed, modelAt(digest));
      whole.add(digest);
      return digest;
    },
    open: (digest) => open(modelAt(digest)),
    file: (digest) => openFile(modelAt(digest)),
    async read(key) {
      const path = at(`${await keyText(key)}.json`);
      if ((await fileKind(path)) !== "file") return undefined;
      return plainOf(await readText(path));
    },
    async write(key, record) {
      await makeFolder(folder);
      await writeFileAtomically(at(`${await keyText(key)}.json`), [bytesOfText(plainText(record))]);
    },
    async checkpoint(key) {
      await makeFolder(folder);
      const checkpoint = await checkpointAt(key);
      return { checkpoint, resume: (await fileKind(lastFile(checkpoint))) !== undefined };
    },
    async removeCheckpoint(key) {
      const checkpoint = await checkpointAt(key);
      for (const file of [lastFile, bestFile]) await removeFile(file(checkpoint));
    },
    release: async () => {},
  };
}

function memoryStore(): Room {
  const models = new Map<string, Uint8Array>();
  const records = new Map<string, string>();
  const file = async (digest: string): Promise<ByteSource> => {
    const found = models.get(digest);
    if (found === undefined) throw new Error(`There is no model ${digest}.`);
    return bytesSource(found);
  };
  return {
    async keep(model) {
      const bytes = await encodeToBytes(model);
      const digest = await sha256Text([bytes]);
      models.set(digest, bytes);
      return digest;
    },
    open: async (digest) => open(await file(digest)),
    file,
    has: async (digest) => models.has(digest),
    read: async (key) => plainOf(records.get(await keyText(key))),
    async write(key, record) {
      records.set(await keyText(key), plainText(record));
    },
    ...withoutCheckpoints,
    release: async () => {},
  };
}
