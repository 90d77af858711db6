/**
 * Reading a file of nested messages without reading its weights.
 *
 * A message of at most 64 KiB is read whole. Of a longer one only the headers of its fields are read, and the fields that are short
 * themselves; what is long stays in the file, as a range, and the caller, who knows the field, decides whether to descend into it. Reads are
 * small after a jump (a skipped weight) and grow while they go on in sequence.
 */
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { type Field, FieldList, isLoaded, payload, splitFields } from "./fields.ts";
import { headerLimit, malformed, readHeader } from "./wire.ts";

/** Fields up to this length are read together with what surrounds them. */
const wholeBytes = 2 ** 16;
const firstWindow = 2 ** 12;
const lastWindow = 2 ** 18;

/** Fields of all messages together: a hundred bytes of memory each. A network of a hundred thousand nodes has two million. */
const fieldsLimit = 2 ** 22;
/** Nodes, their outputs and attributes, inputs, types, stored tensors: up to two kilobytes each. The same network has half a million. */
const elementsLimit = 2 ** 20;
/** Long texts, functions and whatever else is kept in memory as it stands, all together. */
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

  async bytes(start: number, end: number): Promise<Uint8Array> {
    if (!this.#holds(start, end)) await this.#load(start, end - start);
    return this.#window.subarray(start - this.#base, end - this.#base);
  }

  /** The fields of the message in a range; long ones without their bytes. */
  async fields(start: number, end: number): Promise<Field[]> {
    if (end - start <= wholeBytes) return this.#counted(splitFields(await this.bytes(start, end), start));
    const list = new FieldList((from, last) =>
      // A run of numbers may have outgrown the window: it stays in the file then.
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

  async inside(field: Field): Promise<Field[]> {
    if (field.wire !== 2) throw malformed(field.from, `field ${field.number} is not a message`);
    if (!isLoaded(field)) return this.fields(field.start, field.end);
    return this.#counted(splitFields(payload(field), field.start));
  }

  /** The field with its bytes, tag included. @throws PithError E_UNSUPPORTED if memory would not bear it. */
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

  /** Counts what a graph is made of. @throws PithError E_UNSUPPORTED if the file has too much of it for memory. */
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

  async #load(start: number, least: number): Promise<void> {
    const held = this.#base + this.#window.byteLength;
    const sequential = start <= held && start >= held - wholeBytes;
    this.#next = sequential ? Math.min(2 * this.#next, lastWindow) : firstWindow;
    const end = Math.min(this.source.size, start + Math.max(least, this.#next));
    this.#window = await this.source.read(start, end);
    this.#base = start;
  }
}

/** Joins neighbours that belong to one run of numbers but were read in different windows. */
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
