/**
 * What a run has made: models under the hash of their file, and plain records under the hash of everything that they depend on. A changed input has another hash, so an old
 * result is never found for it. The store is a folder, which other machines may share through a bucket. Where there is no disk, it is in memory.
 */
import { temporaryFolder } from "#platform";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { encode, encodedSource } from "../onnx/index.ts";
import type { ByteSource } from "../tensor/types.ts";
import { type Bucket, bucketStore } from "./bucket-store.ts";
import { folderStore } from "./folder-store.ts";
import { digestOf } from "./keys.ts";
import { memoryStore } from "./memory-store.ts";

export interface Store {
  /** The name of the original in the store: the SHA-256 of the file that it would be. */
  readonly original: string;
  /** Keeps a model. @returns its name in the store: the SHA-256 of its file. */
  keep(model: Model): Promise<string>;
  /** The original, or a model that was kept. Each call reads it again, so the caller may change it. */
  open(digest: string): Promise<Model>;
  /** The file of the original, or of a model that was kept. */
  file(digest: string): Promise<ByteSource>;
  /** Whether the model is there and complete: between two runs a file may be removed or damaged. */
  has(digest: string): Promise<boolean>;
  /** Undefined where every step runs anew. */
  readonly records: Records | undefined;
  /**
   * Where the store is above its bound, removes the files that were used longest ago. To be called between steps, while no other process runs a step.
   * @param needed models that stay.
   */
  trim(needed: readonly string[]): Promise<void>;
  /** Removes a temporary store; trims one that stays. */
  release(): Promise<void>;
}

export interface Records {
  /** @returns the record that was written under this key, or undefined. */
  read(key: unknown): Promise<unknown>;
  /** @param record plain data; numbers may be NaN and infinite. */
  write(key: unknown, record: unknown): Promise<void>;
  /** @returns the options with which a training keeps checkpoints here and continues from one that is there; undefined in a temporary store. */
  checkpoint(key: unknown): Promise<{ readonly checkpoint: string; readonly resume: boolean } | undefined>;
  /** Removes the checkpoints of this training. */
  removeCheckpoint(key: unknown): Promise<void>;
}

/** A store that stays after the run. */
export interface StoreOptions {
  /**
   * A folder in which finished steps are kept. A later run uses them: it continues a run that was stopped, with the same figures and files, and repeats no step of a run that
   * ended. The folder is made when there is something to keep, and stays until the caller removes it. It knows passes, metrics and operators of your own by their names, and
   * modules by the content of their own file: take another folder when their code has changed.
   */
  readonly resumeFolder?: string | undefined;
  /** Bytes that may lie in the folder: above that the files that were used longest ago are removed (no bound). */
  readonly resumeBytes?: number | undefined;
  /** A bucket through which several machines share their `resumeFolder`: each puts its results there, and finds those of the others. */
  readonly bucket?: Bucket | undefined;
}

/**
 * The record under a key; where there is none, the result of the work, which becomes the record.
 * @param isFinal what may come out otherwise another time is not recorded.
 */
export async function madeOnce<T>(
  records: Records | undefined,
  key: unknown,
  work: () => Promise<T>,
  isFinal: (result: T) => boolean = () => true,
): Promise<T> {
  const known = await records?.read(key);
  if (known !== undefined) return known as T;
  const result = await work();
  if (isFinal(result)) await records?.write(key, result);
  return result;
}

/** The results of work on an original, without the original. */
export interface StoreOfResults extends Omit<Store, "original"> {
  readonly records: Records;
}

/** The SHA-256 of the file that the model would be; no file is written. */
export const modelDigest = (model: Model): Promise<string> => digestOf(encode(model));

/**
 * Opens the folder of the options; without one a temporary folder, or memory, until the store is released.
 * @param original is not copied into the store. Its operators are set in the models that are opened.
 */
export async function openStore(original: Model, options: StoreOptions): Promise<Store> {
  const digest = await modelDigest(original);
  const store = await resultsIn(options);
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
    file: async (wanted) => (wanted === digest ? encodedSource(original) : store.file(wanted)),
    has: async (wanted) => wanted === digest || store.has(wanted),
  };
}

/** Opens a store, calls `work` with it, and releases it afterwards, also when `work` throws. */
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
