/**
 * Reads a file of nested messages without its weights. Short messages are read at once. For longer messages, field headers and short fields are read,
 * and long fields are returned as ranges in the file. The read window grows during sequential reads.
 */
import { type ByteSource, unsupportedError } from "#graph";
import { type Field, FieldList, isLoaded, payload, splitFields } from "./fields.ts";
import { headerLimit, malformedError, readHeader } from "./wire.ts";

/** Longer messages and fields are not read completely. */
const maxCompleteBytes = 2 ** 16;
const minWindowBytes = 2 ** 12;
const maxWindowBytes = 2 ** 18;

/** A field needs 100 bytes of memory. A network of 100,000 nodes has two million fields. */
const fieldsLimit = 2 ** 22;
/** Nodes, values, dimensions, attributes and tensors need up to 2 KB each. A network of 100,000 nodes has half a million. */
const elementsLimit = 2 ** 20;
/** Total bytes of long texts, functions and other contents that are kept in memory. */
const carriedLimit = 2 ** 28;

export class LazyFile {
  #fields = 0;
  #elements = 0;
  #loadedBytes = 0;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #nextWindowBytes = minWindowBytes;

  constructor(readonly source: ByteSource) {}

  async bytes(start: number, end: number): Promise<Uint8Array> {
    if (!this.#holds(start, end)) await this.#load(start, end - start);
    return this.#window.subarray(start - this.#windowStart, end - this.#windowStart);
  }

  async fields(start: number, end: number): Promise<Field[]> {
    if (end - start <= maxCompleteBytes) return this.#countFields(splitFields(await this.bytes(start, end), start));
    const list = new FieldList((from, last) =>
      // A long sequence of numbers is not kept in memory.
      last - from <= maxCompleteBytes && this.#holds(from, last)
        ? { bytes: this.#window, base: this.#windowStart }
        : undefined,
    );
    for (let position = start; position < end; ) {
      const limit = Math.min(end, position + headerLimit);
      if (!this.#holds(position, limit)) {
        list.finish();
        await this.#load(position, limit - position);
      }
      const header = readHeader(this.#window, this.#windowStart, position, end);
      if (header.wire === 2 && header.end - position <= maxCompleteBytes && !this.#holds(position, header.end)) {
        list.finish();
        await this.#load(position, header.end - position);
      }
      list.add(position, header);
      if (header.wire === 2) list.finish();
      position = header.end;
    }
    const fields = this.#countFields(joinRuns(list.finish()));
    const isShortRun = (field: Field): boolean =>
      field.wire !== 2 && !isLoaded(field) && field.end - field.from <= maxCompleteBytes;
    return Promise.all(fields.map((field) => (isShortRun(field) ? this.load(field) : field)));
  }

  async fieldsInside(field: Field): Promise<Field[]> {
    if (field.wire !== 2) throw malformedError(field.from, `field ${field.number} is not a message`);
    if (!isLoaded(field)) return this.fields(field.start, field.end);
    return this.#countFields(splitFields(payload(field), field.start));
  }

  /** Returns a field with its bytes. @throws PithError E_UNSUPPORTED if the contents in memory exceed the limit. */
  async load(field: Field): Promise<Field> {
    if (isLoaded(field)) return field;
    this.#loadedBytes += field.end - field.from;
    if (this.#loadedBytes > carriedLimit) {
      throw unsupportedError(
        `at byte ${field.from}: all parts except the weights take more than ${carriedLimit} bytes.`,
      );
    }
    return { ...field, bytes: await this.source.read(field.from, field.end) };
  }

  /** Counts graph elements. @throws PithError E_UNSUPPORTED if there are too many. */
  count(elements: number): void {
    this.#elements += elements;
    if (this.#elements > elementsLimit)
      throw unsupportedError(`its graphs have more than ${elementsLimit} nodes, values and attributes together.`);
  }

  #countFields(fields: Field[]): Field[] {
    this.#fields += fields.length;
    if (this.#fields > fieldsLimit) throw unsupportedError(`it has more than ${fieldsLimit} fields.`);
    return fields;
  }

  #holds(start: number, end: number): boolean {
    return start >= this.#windowStart && end <= this.#windowStart + this.#window.byteLength;
  }

  async #load(start: number, min: number): Promise<void> {
    const windowEnd = this.#windowStart + this.#window.byteLength;
    const isSequential = start <= windowEnd && start >= windowEnd - maxCompleteBytes;
    this.#nextWindowBytes = isSequential ? Math.min(2 * this.#nextWindowBytes, maxWindowBytes) : minWindowBytes;
    const end = Math.min(this.source.size, start + Math.max(min, this.#nextWindowBytes));
    this.#window = await this.source.read(start, end);
    this.#windowStart = start;
  }
}

/** Joins adjacent fields of one sequence of numbers that were read in different windows. */
function joinRuns(fields: readonly Field[]): Field[] {
  const joinedFields: Field[] = [];
  for (const field of fields) {
    const last = joinedFields.at(-1);
    if (last === undefined || field.wire === 2 || last.number !== field.number || last.wire !== field.wire) {
      joinedFields.push(field);
      continue;
    }
    const { number, wire, from, start } = last;
    joinedFields[joinedFields.length - 1] = { number, wire, from, start, end: field.end, bytes: undefined };
  }
  return joinedFields;
}
