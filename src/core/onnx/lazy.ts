/**
 * Reads a file of nested messages without its weights. Messages of up to 64 KiB are read at once. For longer messages, only field headers and short
 * fields are read. Long fields are returned as ranges in the file, and the caller decides whether to read them. The read window grows during
 * sequential reads.
 */
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { type Field, FieldList, isLoaded, payload, splitFields } from "./fields.ts";
import { headerLimit, malformedError, readHeader } from "./wire.ts";

/** The maximum bytes of a field that is read together with the fields around it. */
const wholeBytes = 2 ** 16;
/** The minimum bytes per read. */
const firstWindow = 2 ** 12;
/** The maximum bytes per read during sequential reads. */
const lastWindow = 2 ** 18;

/** The maximum number of fields, which need 100 bytes of memory each. A network of 100,000 nodes has two million fields. */
const fieldsLimit = 2 ** 22;
/**
 * The maximum number of nodes, outputs, attributes, inputs, types and tensors together, which need up to 2 KB
 * of memory each. A network of 100,000 nodes has half a million.
 */
const elementsLimit = 2 ** 20;
/** The maximum total bytes of long texts, functions and other contents that are kept in memory. */
const carriedLimit = 2 ** 28;

export class LazyFile {
  readonly source: ByteSource;
  #fields = 0;
  #elements = 0;
  #carried = 0;
  #window: Uint8Array = new Uint8Array(0);
  #base = 0;
  #next = firstWindow;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Returns the bytes of a range of the file. */
  async bytes(start: number, end: number): Promise<Uint8Array> {
    if (!this.#holds(start, end)) await this.#load(start, end - start);
    return this.#window.subarray(start - this.#base, end - this.#base);
  }

  /** Returns the fields of the message in a range of the file. */
  async fields(start: number, end: number): Promise<Field[]> {
    if (end - start <= wholeBytes) return this.#counted(splitFields(await this.bytes(start, end), start));
    const list = new FieldList((from, last) =>
      // A sequence of numbers that exceeds the window is not kept in memory.
      last - from <= wholeBytes && this.#holds(from, last) ? { bytes: this.#window, base: this.#base } : undefined,
    );
    for (let position = start; position < end; ) {
      const limit = Math.min(end, position + headerLimit);
      if (!this.#holds(position, limit)) {
        list.finish();
        await this.#load(position, limit - position);
      }
      const header = readHeader(this.#window, this.#base, position, end);
      if (header.wire === 2 && header.end - position <= wholeBytes && !this.#holds(position, header.end)) {
        list.finish();
        await this.#load(position, header.end - position);
      }
      list.add(position, header);
      if (header.wire === 2) list.finish();
      position = header.end;
    }
    const fields = this.#counted(joinRuns(list.finish()));
    return Promise.all(fields.map((field) => (isShortRun(field) ? this.loaded(field) : field)));
  }

  /** Returns the fields of a submessage. */
  async inside(field: Field): Promise<Field[]> {
    if (field.wire !== 2) throw malformedError(field.from, `field ${field.number} is not a message`);
    if (!isLoaded(field)) return this.fields(field.start, field.end);
    return this.#counted(splitFields(payload(field), field.start));
  }

  /**
   * Returns a field with its bytes, including the tag.
   * @throws PithError E_UNSUPPORTED if the contents in memory exceed the limit.
   */
  async loaded(field: Field): Promise<Field> {
    if (isLoaded(field)) return field;
    this.#carried += field.end - field.from;
    if (this.#carried > carriedLimit) {
      throw new PithError(
        "E_UNSUPPORTED",
        `at byte ${field.from}: all parts except the weights take more than ${carriedLimit} bytes.`,
      );
    }
    return { ...field, whole: await this.source.read(field.from, field.end) };
  }

  /**
   * Counts elements of graphs.
   * @throws PithError E_UNSUPPORTED if the file has too many of them.
   */
  count(elements: number): void {
    this.#elements += elements;
    if (this.#elements > elementsLimit) {
      throw new PithError(
        "E_UNSUPPORTED",
        `its graphs have more than ${elementsLimit} nodes, values and attributes together.`,
      );
    }
  }

  #counted(fields: Field[]): Field[] {
    this.#fields += fields.length;
    if (this.#fields > fieldsLimit) throw new PithError("E_UNSUPPORTED", `it has more than ${fieldsLimit} fields.`);
    return fields;
  }

  #holds(start: number, end: number): boolean {
    return start >= this.#base && end <= this.#base + this.#window.byteLength;
  }

  async #load(start: number, min: number): Promise<void> {
    const windowEnd = this.#base + this.#window.byteLength;
    const sequential = start <= windowEnd && start >= windowEnd - wholeBytes;
    this.#next = sequential ? Math.min(2 * this.#next, lastWindow) : firstWindow;
    const end = Math.min(this.source.size, start + Math.max(min, this.#next));
    this.#window = await this.source.read(start, end);
    this.#base = start;
  }
}

/** Joins adjacent parts of one sequence of numbers that were read in different windows. */
function joinRuns(fields: readonly Field[]): Field[] {
  const joined: Field[] = [];
  for (const field of fields) {
    const last = joined.at(-1);
    if (last === undefined || field.wire === 2 || last.number !== field.number || last.wire !== field.wire) {
      joined.push(field);
      continue;
    }
    const { number, wire, from, start } = last;
    joined[joined.length - 1] = { number, wire, from, start, end: field.end, whole: undefined };
  }
  return joined;
}

function isShortRun(field: Field): boolean {
  return field.wire !== 2 && !isLoaded(field) && field.end - field.from <= wholeBytes;
}
