/** Stores the results of a run: models under the hash of their file, records under the hash of what determines them. */
import {
  allValues,
  type ByteSource,
  encode,
  encodedSource,
  encodeToBytes,
  Model,
  open,
  PithError,
  parsePlain,
  save,
  stringifyPlain,
} from "#ir";
import { bytesSource, joinPath, temporaryFolder } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import { cloneWithKnownOutputs } from "../../runtime/run/remembered-outputs.ts";
import { folderStore } from "./folder-store.ts";
import { digestOf, keyText } from "./keys.ts";

export interface Store {
  /** Name of the original: the SHA-256 of its file. */
  readonly original: string;
  /** @returns the model's name: the SHA-256 of its file. */
  keep(model: Model): Promise<string>;
  /** Each call returns another object, which the caller can change. */
  open(digest: string): Promise<Model>;
  /** Opens a model, which the caller must not change. */
  read(digest: string): Promise<Model>;
  file(digest: string): Promise<ByteSource>;
  /** Returns whether the model's file is present and undamaged. */
  has(digest: string): Promise<boolean>;
  /** Undefined in a store that keeps no results of steps. */
  readonly records: RecordStore | undefined;
  /** Removes the least recently used files above the limit, except `needed`. Call it while no process that shares the folder runs a step. */
  trim(needed: readonly string[]): Promise<void>;
  release(): Promise<void>;
}

export interface RecordStore {
  read(key: unknown): Promise<unknown>;
  /** @param record plain data, in which numbers can be NaN or infinite. */
  write(key: unknown, record: unknown): Promise<void>;
  /** Returns training options for checkpoints in this store; undefined in a temporary store. */
  checkpoint(key: unknown): Promise<{ readonly checkpoint: string; readonly resume: boolean } | undefined>;
  removeCheckpoint(key: unknown): Promise<void>;
}

export interface StoreOptions {
  /**
   * Folder for finished steps, with which a later run continues. Custom passes, metrics and operators are identified by name, modules by
   * the content of their own file: use another folder if their code has changed.
   */
  readonly resumeFolder?: string | undefined;
  /** Maximum bytes in the folder (default: unlimited). Above it, the least recently used files are removed. */
  readonly resumeBytes?: number | undefined;
}

/** Returns the record under a key, or does the work and records it. @param isFinal returns false for a result that can differ next time. */
export async function recordOnce<T>(
  records: RecordStore | undefined,
  key: unknown,
  work: () => Promise<T>,
  isFinal: (result: T) => boolean = () => true,
): Promise<T> {
  const recordedResult = await records?.read(key);
  if (recordedResult !== undefined) return recordedResult as T;
  const result = await work();
  if (isFinal(result)) await records?.write(key, result);
  return result;
}

export interface ResultStore extends Omit<Store, "original" | "read"> {
  readonly records: RecordStore;
}

/** Returns the SHA-256 of the model's encoded file, without writing a file. */
export const modelDigest = (model: Model): Promise<string> => digestOf(encode(model));

/** Opens the store in `resumeFolder`, a temporary folder, or memory. Opened models get the custom operators of `original`. */
export async function openStore(original: Model, options: StoreOptions): Promise<Store> {
  const digest = await modelDigest(original);
  const store = await openResultStore(options);
  const openModel = async (requestedDigest: string): Promise<Model> => {
    if (requestedDigest === digest) return cloneWithKnownOutputs(original);
    const model = await store.open(requestedDigest);
    model.graph.operators = original.graph.operators;
    model.place = original.place;
    return model;
  };
  return {
    ...store,
    original: digest,
    open: openModel,
    read: openModel,
    file: async (requestedDigest) =>
      requestedDigest === digest ? encodedSource(original) : store.file(requestedDigest),
    has: async (requestedDigest) => requestedDigest === digest || store.has(requestedDigest),
  };
}

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

async function openResultStore({ resumeFolder, resumeBytes }: StoreOptions): Promise<ResultStore> {
  if (resumeFolder === undefined) return temporaryStore();
  return folderStore(resumeFolder, resumeBytes);
}

async function temporaryStore(): Promise<ResultStore> {
  try {
    const { path, remove } = await temporaryFolder();
    const store = folderStore(path);
    // Only a later run could use checkpoints.
    const records = { ...store.records, checkpoint: async () => undefined };
    return { ...store, records, release: remove };
  } catch (error) {
    if (error instanceof PithError) return memoryStore();
    throw error;
  }
}

export function memoryStore(): ResultStore {
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
      read: async (key) => parsePlain(records.get(await keyText(key))),
      async write(key, record) {
        records.set(await keyText(key), stringifyPlain(record));
      },
      checkpoint: async () => undefined,
      removeCheckpoint: async () => {},
    },
    trim: async () => {},
    release: async () => {},
  };
}

/** Returns a store in memory without records, for a single step. @param folder for files of weights that would be computed at each reading. */
export function memoryModelStore(original: Model, folder: string | undefined): Store {
  const models = [original];
  const modelOf = (name: string): Model => {
    const model = models[Number(name)];
    if (model === undefined) throw new Error(`There is no model ${name}.`);
    return model;
  };
  const read = async (name: string): Promise<Model> => {
    const model = modelOf(name);
    if (model !== original && folder !== undefined)
      await storeComputed(model, joinPath(folder, `weights-${name}.onnx`));
    return model;
  };
  return {
    original: "0",
    keep: async (model) => `${models.push(model) - 1}`,
    open: async (name) => (await read(name)).clone(),
    read,
    file: async (name) => encodedSource(modelOf(name)),
    has: async (name) => models[Number(name)] !== undefined,
    records: undefined,
    trim: async () => {},
    release: async () => {},
  };
}

/** Fewer bytes are faster to compute again than to write and read. */
const minStored = 2 ** 26;

/** Writes tensors that would be computed at each reading to a file, and lets the model read the file. If the disk has no space, changes nothing. */
export async function storeComputed(model: Model, path: string, minBytes = minStored): Promise<void> {
  const computedValues = [...allValues(model.graph)].flatMap((value) => {
    const { tensor } = value;
    return tensor === undefined || tensor.stored !== undefined || tensor.small !== undefined ? [] : [{ value, tensor }];
  });
  if (computedValues.reduce((sum, { tensor }) => sum + tensor.bytes, 0) < minBytes) return;
  const storage = new Model();
  const tensors = new Set(computedValues.map(({ tensor }) => tensor));
  const names = new Map(
    [...tensors].map((tensor, index) => [tensor, storage.graph.addTensor(`${index}`, tensor).name]),
  );
  try {
    await save(storage, path, { externalData: true });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_FILE") return;
    throw error;
  }
  const { graph } = await open(path);
  for (const { value, tensor } of computedValues) value.tensor = graph.value(names.get(tensor) ?? "")?.tensor;
}
