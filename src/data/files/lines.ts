/** Text with one sample per line. One pass finds the line starts; text is read on demand, so a file takes eight bytes per line. */
import { bytesSource, readRanges } from "#platform";
import { PithError } from "../../core/errors.ts";
import type { ByteSource } from "../../core/tensor/types.ts";
import { indexed } from "../batches/indexed.ts";
import type { IndexedDataset } from "../batches/types.ts";
import { isGzip, readAll } from "./bytes.ts";
import { heldAtMost } from "./columns.ts";

export interface Lines {
  readonly count: number;
  at(positions: Uint32Array): Promise<readonly string[]>;
  /** Returns the line number in the file, from 1, including blank lines. */
  place(position: number): number;
}

const newline = 0x0a;
const chunk = 2 ** 20;

async function readLines(file: ByteSource): Promise<Lines> {
  const held = file.size <= heldAtMost || (await isGzip(file));
  const source = held ? bytesSource(await readAll(file), file.name) : file;
  // Starts and ends of nonblank lines; the array grows.
  let bounds = new Float64Array(2 ** 16);
  let numbers = new Uint32Array(2 ** 15);
  let count = 0;
  let [start, line, blank] = [0, 1, true];
  const close = (end: number): void => {
    if (!blank) {
      if (2 * count + 2 > bounds.length) {
        bounds = grown(bounds, new Float64Array(2 * bounds.length));
        numbers = grown(numbers, new Uint32Array(2 * numbers.length));
      }
      bounds[2 * count] = start;
      bounds[2 * count + 1] = end;
      numbers[count] = line;
      count++;
    }
    line++;
    blank = true;
    start = end + 1;
  };
  for (let from = 0; from < source.size; from += chunk) {
    const bytes = await source.read(from, Math.min(source.size, from + chunk));
    if (from === 0) requireText(bytes, source.name);
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === newline) close(from + at);
      else if (byte > 0x20) blank = false;
    }
  }
  close(source.size);
  requireSome(count, source.name);
  return {
    count,
    async at(positions) {
      const ranges = Array.from(positions, (position) => ({
        start: bounds[2 * position] ?? 0,
        end: bounds[2 * position + 1] ?? 0,
      }));
      const bytes = await readRanges(source, ranges);
      let next = 0;
      return ranges.map(({ start, end }) => {
        const own = bytes.subarray(next, next + end - start);
        next += end - start;
        return new TextDecoder().decode(own).replace(/\r$/, "");
      });
    },
    place: (position) => numbers[position] ?? 0,
  };
}

function grown<A extends Float64Array | Uint32Array>(from: A, to: A): A {
  to.set(from);
  return to;
}

/** Maximum characters of a line; parsing takes about ten times as many bytes. */
const maxLine = 2 ** 25;

export function* linesOf(text: string): Generator<{ readonly line: string; readonly number: number }> {
  for (let start = 0, number = 1; start <= text.length; number++) {
    const next = text.indexOf("\n", start);
    const end = next < 0 ? text.length : next;
    yield { line: text.slice(start, end), number };
    start = end + 1;
  }
}

/** @throws PithError E_DATA for a line that is too long, before any is parsed. */
export function requireShortLines(text: string, name: string): void {
  for (const { line, number } of linesOf(text))
    if (line.length > maxLine)
      throw new PithError("E_DATA", `${name}, line ${number}: the line is longer than 32 MiB.`, {
        hint: "Store samples of this size in a .npy or .npz file.",
      });
}

/** Decodes UTF-8. @throws PithError E_DATA for invalid bytes. */
export function textOf(bytes: Uint8Array, name: string): string {
  requireText(bytes.subarray(0, chunk), name);
  return new TextDecoder().decode(bytes);
}

function requireText(bytes: Uint8Array, name: string): void {
  if (!bytes.includes(0)) return;
  throw new PithError("E_DATA", `${name} is not a text file: it holds zero bytes.`, { hint: "Save it as UTF-8." });
}

function requireSome(count: number, name: string): void {
  if (count === 0) throw new PithError("E_DATA", `${name} has no lines of text.`);
}

/** Opens a text file with one sample per line: "text". */
export async function textLines(source: ByteSource): Promise<IndexedDataset> {
  const lines = await readLines(source);
  return indexed(source.name, lines.count, async (positions) => {
    const data = await lines.at(positions);
    return { text: { type: "string", dims: [positions.length], data } };
  });
}
