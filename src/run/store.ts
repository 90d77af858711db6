/**
 * What a run has made: models under the hash of their file, and plain records under the hash of all that they follow from, so that nothing is
 * taken for what it is not. In a folder, which other machines may share through a bucket, or where there is no disk in memory.
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
  /** Stands for the original: the SHA-256 of the file that it would be, where there are records. */
  readonly original: string;
  /** Keeps a model. @returns what stands for it, the same. */
  keep(model: Model): Promise<string>;
  /** The original, or a model that was kept, each time anew. */
  open(digest: string): Promise<Model>;
  /** Its file. */
  file(digest: string): Promise<ByteSource>;
  /** Whether it is there, whole: a file that outlasts a run may be removed or damaged before the next. */
  has(digest: string): Promise<boolean>;
  /** Undefined where nothing is run twice. */
  readonly records: Records | undefined;
  /**
   * Removes what was used longest ago, where more lies there than may. To be called between steps, while no other process runs one.
   * @param needed models that stay.
   */
  trim(needed: readonly string[]): Promise<void>;
  /** Removes what does not outlast the run, or is more than may. */
  release(): Promise<void>;
}

export interface Records {
  /** A record that was written under this key, or undefined. */
  read(key: unknown): Promise<unknown>;
  /** @param record plain data; numbers may be NaN and infinite. */
  write(key: unknown, record: unknown): Promise<void>;
  /** Options of a training that make it keep checkpoints here, and go on from one that is there; none where nothing outlasts the run. */
  checkpoint(key: unknown): Promise<{ readonly checkpoint: string; readonly resume: boolean } | undefined>;
  /** Removes what such a training has kept. */
  removeCheckpoint(key: unknown): Promise<void>;
}

/** Where what a run has made outlasts it. */
export interface StoreOptions {
  /**
   * A folder in which steps that are done are kept: one that was stopped is continued from there, with the same figures and files, and a later run begins with
   * what an earlier one has done. It is made when there is something to keep, and stays until the caller removes it. Passes, metrics and operators of your
   * own are known there by their names, and modules by what is in their own file: take another folder when their code has changed.
   */
  readonly resumeFolder?: string | undefined;
  /** Bytes that may lie in it: above, what was used longest ago is removed (no bound). */
  readonly resumeBytes?: number | undefined;
  /** What other machines have of `resumeFolder`, and what they get of it. */
  readonly bucket?: Bucket | undefined;
}

/** A store of what is made of an original. */
export interface StoreOfResults extends Omit<Store, "original"> {
  readonly records: Records;
}

/** The SHA-256 of a model's file, which is not written. */
export const modelDigest = (model: Model): Promise<string> => digestOf(encode(model));

/**
 * @param original it is not written: it lies somewhere already. Its operators go with what is made of it.
 * Without a folder what is made lies in a temporary one, or in memory, until it is released.
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

async function resultsIn({ resumeFolder, resumeBytes, bucket }: StoreOptions): Promise<StoreOfResults> {
  if (resumeFolder === undefined) return temporaryStore();
  return bucket === undefined ? folderStore(resumeFolder, resumeBytes) : bucketStore(resumeFolder, bucket);
}

async function temporaryStore(): Promise<StoreOfResults> {
  try {
    const { path, remove } = await temporaryFolder();
    const store = folderStore(path);
    // A checkpoint is of use to a later run only.
    const records = { ...store.records, checkpoint: async () => undefined };
    return { ...store, records, release: remove };
  } catch (error) {
    if (error instanceof PithError) return memoryStore();
    throw error;
  }
}
