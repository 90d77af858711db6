/** Reads external weights: ranges of files that the `external_data` of a TensorProto states. */
import { type ByteSource, getOrAdd, modelError, PithError, type StoredBytes, unsupportedError } from "#graph";
import type { Field } from "./fields.ts";
import { readEntry } from "./metadata.ts";

export type OpenExternal = (location: string) => Promise<ByteSource>;

/** The system limits open files. Converters that write one file per tensor create several hundred. */
const filesLimit = 4096;

export class ExternalFiles {
  readonly #open: OpenExternal | undefined;
  readonly #files = new Map<string, Promise<ByteSource>>();

  constructor(open: OpenExternal | undefined) {
    this.#open = open;
  }

  get count(): number {
    return this.#files.size;
  }

  has(location: string): boolean {
    return this.#files.has(location);
  }

  async find(location: string, place: string): Promise<ByteSource> {
    if (this.#open === undefined) {
      throw unsupportedError(
        `${place}: its elements are stored in "${location}", and the folder of the model is not known.`,
        { hint: "Open the model by its path or URL, or pass { external: (location) => … }." },
      );
    }
    const open = this.#open;
    return getOrAdd(this.#files, location, () => open(location));
  }
}

export async function readExternal(
  fields: readonly Field[],
  bytes: number,
  files: ExternalFiles,
  place: string,
): Promise<StoredBytes> {
  const entries = new Map(fields.map(readEntry));
  const location = entries.get("location");
  if (location === undefined || location === "")
    throw modelError(`${place}: its elements are stored in another file, which is not named.`);
  if (files.count >= filesLimit && !files.has(location))
    throw unsupportedError(`${place}: the model keeps its weights in more than ${filesLimit} files.`);
  const start = parseInteger(entries.get("offset"), 0, place);
  const length = parseInteger(entries.get("length"), bytes, place);
  if (length !== bytes)
    throw modelError(`${place}: its dimensions ask for ${bytes} bytes, "${location}" holds ${length} for it.`);
  const source = await files.find(location, place).catch((error: unknown) => {
    if (!(error instanceof PithError)) throw error;
    const hint = error.hint ?? "Put all files with the model's weights into the model's folder.";
    throw error.reworded({ at: place, hint });
  });
  const end = start + length;
  if (end > source.size)
    throw modelError(`${place}: its elements end at byte ${end} of "${location}", which has ${source.size}.`);
  return { source, start, end };
}

function parseInteger(text: string | undefined, defaultValue: number, place: string): number {
  if (text === undefined) return defaultValue;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw modelError(`${place}: "${text}" is not an offset or length.`);
  return value;
}
