/** Stores batches to be read several times, in order or by sample: in memory while there is room, else in a temporary file. */
import { availableMemory, type ScratchFile, scratchFile } from "#platform";
import { PithError } from "../../core/errors.ts";
import { bytesOf, viewBytes, zeros } from "../../core/tensor/dense.ts";
import { dimsText, sameDims } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { rowLength, sampleCount } from "./rows.ts";

export interface BatchStore {
  readonly name: string;
  readonly count: number;
  /** Column names of the first batch. */
  readonly columns: readonly string[];
  /** The batch must not change afterwards. @throws PithError E_FILE if the disk is full, E_UNSUPPORTED in a browser without room */
  add(batch: Batch): Promise<void>;
  /** Yields all batches in order. @param columns The columns to read (all) */
  batches(columns?: readonly string[]): AsyncGenerator<Batch>;
  /** @throws PithError E_DATA if there is no such batch */
  batch(place: number): Promise<Batch>;
  /** Returns samples as one batch. @throws PithError E_DATA if their sizes differ */
  gather(positions: Uint32Array): Promise<Batch>;
  release(): Promise<void>;
}

export interface Storage {
  store(name: string): BatchStore;
  release(): Promise<void>;
}

export interface StorageOptions {
  /** Bytes in memory for all stores together (a quarter of the available memory). */
  readonly memory?: number;
  readonly file?: () => Promise<ScratchFile>;
}

/** The model, the runtime and batches in use need memory, too. */
const shareOfMemory = 1 / 4;

/** Opens storage for batches. The caller releases it, also after a failure. */
export function openStorage(options: StorageOptions = {}): Storage {
  const room: Room = { left: options.memory ?? shareOfMemory * availableMemory() };
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
  left: number;
}

type Numeric = Exclude<Dense, Dense<"string">>;

interface OnDisk {
  readonly type: Numeric["type"];
  readonly dims: readonly number[];
  readonly start: number;
  readonly bytes: number;
}

interface StoredBatch {
  readonly first: number;
  readonly count: number;
  readonly columns: ReadonlyMap<string, Dense | OnDisk>;
}

class Store implements BatchStore {
  readonly name: string;
  readonly #room: Room;
  readonly #make: () => Promise<ScratchFile>;
  #written: StoredBatch[] = [];
  #file: ScratchFile | undefined;
  #taken = 0;
  count = 0;

  constructor(name: string, room: Room, make: () => Promise<ScratchFile>) {
    this.name = name;
    this.#room = room;
    this.#make = make;
  }

  get columns(): readonly string[] {
    return [...(this.#written[0]?.columns.keys() ?? [])];
  }

  async add(batch: Batch): Promise<void> {
    const count = sampleCount(batch, this.name);
    const columns = new Map<string, Dense | OnDisk>();
    for (const [name, dense] of Object.entries(batch)) columns.set(name, await this.#keep(dense));
    this.#written.push({ first: this.count, count, columns });
    this.count += count;
  }

  async *batches(columns = this.columns): AsyncGenerator<Batch> {
    for (let place = 0; place < this.#written.length; place++) yield await this.batch(place, columns);
  }

  async batch(place: number, columns = this.columns): Promise<Batch> {
    const written = this.#written[place];
    if (written === undefined)
      throw new PithError("E_DATA", `${this.name} has no batch ${place}: it ends after ${this.#written.length}.`);
    const batch: Record<string, Dense> = {};
    for (const name of columns) {
      const kept = written.columns.get(name);
      if (kept !== undefined) batch[name] = "data" in kept ? kept : await this.#read(kept);
    }
    return batch;
  }

  async gather(positions: Uint32Array): Promise<Batch> {
    const places = Array.from(positions, (position) => this.#place(position));
    const batch: Record<string, Dense> = {};
    for (const name of this.columns) batch[name] = await this.#rows(name, places);
    return batch;
  }

  async release(): Promise<void> {
    this.#room.left += this.#taken;
    [this.#written, this.#taken, this.count] = [[], 0, 0];
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #keep(dense: Dense): Promise<Dense | OnDisk> {
    // Text is small and has no bytes to write.
    if (dense.type === "string") return dense;
    const bytes = bytesOf(dense);
    if (bytes.byteLength <= this.#room.left) {
      this.#room.left -= bytes.byteLength;
      this.#taken += bytes.byteLength;
      return dense;
    }
    this.#file ??= await this.#make();
    const start = await this.#file.append(bytes);
    return { type: dense.type, dims: dense.dims, start, bytes: bytes.byteLength };
  }

  async #read({ type, dims, start, bytes }: OnDisk): Promise<Dense> {
    const read = new Uint8Array(bytes);
    await this.#file?.fill(read, start);
    return viewBytes(type, dims, read);
  }

  #place(position: number): Place {
    let [low, high] = [0, this.#written.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#written[middle]?.first ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    const written = this.#written[low];
    const row = position - (written?.first ?? 0);
    if (written === undefined || row >= written.count)
      throw new PithError("E_DATA", `${this.name} has no sample ${position}: it ends after ${this.count}.`);
    return { written, row };
  }

  async #rows(name: string, places: readonly Place[]): Promise<Dense> {
    const kept = places.map(({ written }) => written.columns.get(name));
    const [like = this.#written[0]?.columns.get(name)] = kept;
    const sizes = like?.dims.slice(1) ?? [];
    const strange = kept.find((each) => each?.type !== like?.type || !sameDims(each?.dims.slice(1) ?? [], sizes));
    if (like === undefined || (strange !== undefined && places.length > 0)) {
      const [expected, got] = [like, strange].map((each) => `${each?.type}${dimsText(each?.dims.slice(1))}`);
      throw new PithError("E_DATA", `${this.name}: "${name}" is ${expected} for one sample and ${got} for another.`);
    }
    const dims = [places.length, ...sizes];
    if (like.type === "string") {
      const width = rowLength({ type: "string", dims: like.dims, data: [] });
      const data = places.flatMap(({ row }, at) => {
        const own = kept[at];
        return own?.type === "string" ? own.data.slice(row * width, (row + 1) * width) : [];
      });
      return { type: "string", dims, data };
    }
    const gathered = zeros(like.type, dims) as Numeric;
    const target = bytesOf(gathered);
    const width = rowLength(gathered) * gathered.data.BYTES_PER_ELEMENT;
    await Promise.all(
      places.map(async ({ row }, at) => {
        const own = kept[at];
        const room = target.subarray(at * width, (at + 1) * width);
        if (own === undefined || own.type === "string") return;
        if ("data" in own) room.set(bytesOf(own).subarray(row * width, (row + 1) * width));
        else await this.#file?.fill(room, own.start + row * width);
      }),
    );
    return gathered;
  }
}

interface Place {
  readonly written: StoredBatch;
  readonly row: number;
}
