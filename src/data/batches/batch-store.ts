/** Stores batches that are read several times: in memory while there is room, then in a temporary file. */

import { type Batch, bytesOf, type DataType, type Dense, dataError, dimsText, firstIndex, viewBytes } from "#ir";
import { availableMemory, type ScratchFile, scratchFile } from "#platform";
import { joinRows, rowLength, sampleCount, sliceBatch, sliceRows } from "./rows.ts";

export interface BatchStore {
  readonly name: string;
  readonly count: number;
  /** Column names of the first batch. */
  readonly columns: readonly string[];
  /** The batch must not change afterward. @throws PithError E_FILE if the disk is full; E_UNSUPPORTED in a browser if memory is used up. */
  add(batch: Batch): Promise<void>;
  /** @param columns The columns to read; all by default. */
  batches(columns?: readonly string[]): AsyncGenerator<Batch>;
  /** @throws PithError E_DATA if the batch does not exist. */
  batch(index: number): Promise<Batch>;
  /** Returns samples as one batch. @throws PithError E_DATA if their sizes differ. */
  gather(positions: Uint32Array): Promise<Batch>;
  release(): Promise<void>;
}

export interface Storage {
  store(name: string): BatchStore;
  release(): Promise<void>;
}

export interface StorageOptions {
  /** Maximum bytes in memory for all stores together; by default a quarter of the available memory. */
  readonly memory?: number;
  readonly file?: () => Promise<ScratchFile>;
}

/** The model, the runtime and batches in use need the rest of the available memory. */
const memoryShare = 1 / 4;

/** The caller must release the storage, even after an error. */
export function openStorage(options: StorageOptions = {}): Storage {
  const room: Room = { freeBytes: options.memory ?? memoryShare * availableMemory() };
  const stores = new Set<Store>();
  return {
    store(name) {
      const store = new Store(name, room, options.file ?? scratchFile);
      stores.add(store);
      return store;
    },
    async release() {
      for (const store of stores) await store.release();
      stores.clear();
    },
  };
}

interface Room {
  freeBytes: number;
}

interface OnDisk {
  readonly type: Exclude<DataType, "string">;
  readonly dims: readonly number[];
  readonly start: number;
  readonly bytes: number;
}

class Store implements BatchStore {
  readonly name: string;
  readonly #room: Room;
  readonly #createFile: () => Promise<ScratchFile>;
  #batches: {
    readonly first: number;
    readonly count: number;
    readonly columns: ReadonlyMap<string, Dense | OnDisk>;
  }[] = [];
  #file: ScratchFile | undefined;
  #usedBytes = 0;
  count = 0;

  constructor(name: string, room: Room, make: () => Promise<ScratchFile>) {
    this.name = name;
    this.#room = room;
    this.#createFile = make;
  }

  get columns(): readonly string[] {
    return [...(this.#batches[0]?.columns.keys() ?? [])];
  }

  async add(batch: Batch): Promise<void> {
    const count = sampleCount(batch, this.name);
    const columns = new Map<string, Dense | OnDisk>();
    for (const [name, dense] of Object.entries(batch)) columns.set(name, await this.#keep(dense));
    this.#batches.push({ first: this.count, count, columns });
    this.count += count;
  }

  async *batches(columns = this.columns): AsyncGenerator<Batch> {
    for (const index of this.#batches.keys()) yield await this.batch(index, columns);
  }

  async batch(index: number, columns = this.columns): Promise<Batch> {
    const storedBatch = this.#batches[index];
    if (storedBatch === undefined)
      throw dataError(`${this.name} has no batch ${index}: it ends after ${this.#batches.length}.`);
    const batch: Record<string, Dense> = {};
    for (const name of columns) {
      const column = storedBatch.columns.get(name);
      if (column !== undefined) batch[name] = "data" in column ? column : await this.#read(column);
    }
    return batch;
  }

  async gather(positions: Uint32Array): Promise<Batch> {
    if (positions.length === 0) return sliceBatch(await this.batch(0), 0, 0);
    const samples = await Promise.all(Array.from(positions, (position) => this.#readSample(position)));
    const batch: Record<string, Dense> = {};
    for (const name of this.columns) {
      const rows = samples.map((sample) => sample[name]);
      const [first, differentRow] = [rows[0], rows.find((row) => rowTypeText(row) !== rowTypeText(rows[0]))];
      if (differentRow !== undefined)
        throw dataError(
          `${this.name}: "${name}" is ${rowTypeText(first)} for one sample and ${rowTypeText(differentRow)} for another.`,
        );
      batch[name] = joinRows(name, rows, this.name);
    }
    return batch;
  }

  async release(): Promise<void> {
    this.#room.freeBytes += this.#usedBytes;
    [this.#batches, this.#usedBytes, this.count] = [[], 0, 0];
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #keep(dense: Dense): Promise<Dense | OnDisk> {
    // Text is small and has no bytes to write.
    if (dense.type === "string") return dense;
    const bytes = bytesOf(dense);
    if (bytes.byteLength <= this.#room.freeBytes) {
      this.#room.freeBytes -= bytes.byteLength;
      this.#usedBytes += bytes.byteLength;
      return dense;
    }
    this.#file ??= await this.#createFile();
    const start = await this.#file.append(bytes);
    return { type: dense.type, dims: dense.dims, start, bytes: bytes.byteLength };
  }

  async #read({ type, dims, start, bytes }: OnDisk): Promise<Dense> {
    const bytesRead = new Uint8Array(bytes);
    await this.#file?.fill(bytesRead, start);
    return viewBytes(type, dims, bytesRead);
  }

  async #readSample(position: number): Promise<Batch> {
    const next = firstIndex(1, this.#batches.length, (index) => (this.#batches[index]?.first ?? 0) > position);
    const storedBatch = this.#batches[next - 1];
    const row = position - (storedBatch?.first ?? 0);
    if (storedBatch === undefined || row >= storedBatch.count)
      throw dataError(`${this.name} has no sample ${position}: it ends after ${this.count}.`);
    const sample: Record<string, Dense> = {};
    for (const [name, column] of storedBatch.columns) {
      if ("data" in column) sample[name] = sliceRows(column, row, row + 1);
      else {
        const bytes = rowLength(column) === 0 ? 0 : column.bytes / storedBatch.count;
        const dims = [1, ...column.dims.slice(1)];
        sample[name] = await this.#read({ type: column.type, dims, start: column.start + row * bytes, bytes });
      }
    }
    return sample;
  }
}

const rowTypeText = (dense: Dense | undefined): string => `${dense?.type}${dimsText(dense?.dims.slice(1))}`;
