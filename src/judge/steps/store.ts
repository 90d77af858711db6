/**
 * Stores what a run made: models under the hash of their file, records under the hash of their inputs, so a changed input never finds old results.
 * The store is a folder, optionally shared through a bucket, or memory if there is no disk.
 */
import { bytesSource, temporaryFolder } from "#platform";
import { PithError } from "../../core/errors.ts";
import { sha256Text } from "../../core/files/hash.ts";
import type { Model } from "../../core/graph/model.ts";
import { encode, encodedSource, encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { plainOf, plainText } from "../../core/plain.ts";
import type { ByteSource } from "../../core/tensor/types.ts";
import { type Bucket, bucketStore } from "./bucket-store.ts";
import { folderStore } from "./folder-store.ts";
import { digestOf, keyText } from "./keys.ts";

export interface Store {
  /** The original's name in the store: the SHA-256 of the file that it would be. */
  readonly original: string;
  /** Stores a model. @returns its name: the SHA-256 of its file. */
  keep(model: Model): Promise<string>;
  /** Opens the original or a stored model. Each call reads it again, so the caller can change it. */
  open(digest: string): Promise<Model>;
  file(digest: string): Promise<ByteSource>;
  /** Returns whether the model is present and complete: files can be removed or damaged between runs. */
  has(digest: string): Promise<boolean>;
  /** Undefined if every step runs again. */
  readonly records: Records | undefined;
  /** Removes the least recently used files above the limit, except `needed` models. Call it between steps, while no other process runs one. */
  trim(needed: readonly string[]): Promise<void>;
  release(): Promise<void>;
}

export interface Records {
  /** @returns the record under this key, or undefined. */
  read(key: unknown): Promise<unknown>;
  /** @param record Plain data; numbers can be NaN and infinite. */
  write(key: unknown, record: unknown): Promise<void>;
  /** @returns the options with which training keeps checkpoints here and resumes from one; undefined in a temporary store. */
  checkpoint(key: unknown): Promise<{ readonly checkpoint: string; readonly resume: boolean } | undefined>;
  removeCheckpoint(key: unknown): Promise<void>;
}

export interface StoreOptions {
  /**
   * A folder for finished steps, created on demand and kept. A later run continues a stopped run with the same figures and files. Custom passes,
   * metrics and operators are identified by name, modules by their own file's content: use another folder if their code has changed.
   */
  readonly resumeFolder?: string | undefined;
  /** The maximum bytes in the folder: above it the least recently used files are removed (default: unlimited). */
  readonly resumeBytes?: number | undefined;
  /** A bucket through which several machines share their `resumeFolder`. */
  readonly bucket?: Bucket | undefined;
}

/**
 * Returns the record under a key; otherwise does the work and records its result.
 * @param isFinal Returns false for results that can differ next time: they are not recorded.
 */
export async function madeOnce<T>(
  records: Records | undefined,
  key: unknown,
  work: () => Promise<T>,
  isFinal: (result: T) => boolean = () => true,
): Promise<T> {
  const recorded = await records?.read(key);
  if (recorded !== undefined) return recorded as T;
  const result = await work();
  if (isFinal(result)) await records?.write(key, result);
  return result;
}

export interface StoreOfResults extends Omit<Store, "original"> {
  readonly records: Records;
}

/** Returns the SHA-256 of the file that the model would be; writes no file. */
export const modelDigest = (model: Model): Promise<string> => digestOf(encode(model));

/**
 * Opens the folder of the options; otherwise a temporary folder, or memory, until the store is released.
 * @param original Is not copied into the store. Opened models get its custom operators.
 */
export async function openStore(original: Model, options: StoreOptions): Promise<Store> {
  const digest = await modelDigest(original);
  const store = await resultsIn(options);
  return {
    ...store,
    original: digest,
    async open(requested) {
      if (requested === digest) return original.clone();
      const model = await store.open(requested);
      model.graph.operators = original.graph.operators;
      model.place = original.place;
      return model;
    },
    file: async (requested) => (requested === digest ? encodedSource(original) : store.file(requested)),
    has: async (requested) => requested === digest || store.has(requested),
  };
}

/** Opens a store, calls `work`, and always releases the store. */
export async function withStore<T>(
  original: Model,
  options: StoreOptions,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(original, options);
  try {
    return await work(store);
  } finally {
    await store.release();
  }
}

async function resultsIn({ resumeFolder, resumeBytes, bucket }: StoreOptions): Promise<StoreOfResults> {
  if (resumeFolder === undefined) return temporaryStore();
  return bucket === undefined ? folderStore(resumeFolder, resumeBytes) : bucketStore(resumeFolder, bucket);
}

async function temporaryStore(): Promise<StoreOfResults> {
  try {
    const { path, remove } = await temporaryFolder();
    const store = folderStore(path);
    // Only a later run could use a checkpoint.
    const records = { ...store.records, checkpoint: async () => undefined };
    return { ...store, records, release: remove };
  } catch (error) {
    if (error instanceof PithError) return memoryStore();
    throw error;
  }
}

export function memoryStore(): StoreOfResults {
  const models = new Map<string, Uint8Array>();
  const records = new Map<string, string>();
  const file = async (digest: string): Promise<ByteSource> => {
    const bytes = models.get(digest);
    if (bytes === undefined) throw new Error(`There is no model ${digest}.`);
    return bytesSource(bytes);
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
    records: {
      read: async (key) => plainOf(records.get(await keyText(key))),
      async write(key, record) {
        records.set(await keyText(key), plainText(record));
      },
      checkpoint: async () => undefined,
      removeCheckpoint: async () => {},
    },
    trim: async () => {},
    release: async () => {},
  };
}
