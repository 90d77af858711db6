/** Reads text with one sample per line. Of large uncompressed files, only the offsets of lines are kept in memory. */

import { type IndexedDataset, indexed } from "#batches";
import { type ByteSource, dataError } from "#ir";
import { readRanges } from "#platform";
import { readIfSmall } from "./columns.ts";

const newline = 0x0a;
const chunkBytes = 2 ** 20;

/** Opens a text file as a dataset with the column "text". Blank lines are skipped. */
export async function textLines(file: ByteSource): Promise<IndexedDataset> {
  const source = await readIfSmall(file);
  const bounds = await lineBounds(source);
  if (bounds.length === 0) throw dataError(`${source.name} has no lines of text.`);
  return indexed(source.name, bounds.length / 2, async (positions) => {
    const ranges = Array.from(positions, (position) => ({
      start: bounds[2 * position] ?? 0,
      end: bounds[2 * position + 1] ?? 0,
    }));
    const bytes = await readRanges(source, ranges);
    let next = 0;
    const data = ranges.map(({ start, end }) => {
      next += end - start;
      return new TextDecoder().decode(bytes.subarray(next - end + start, next)).replace(/\r$/, "");
    });
    return { text: { type: "string", dims: [positions.length], data } };
  });
}

/** Returns the start and end offsets of all lines that are not blank, alternating. */
async function lineBounds(source: ByteSource): Promise<Float64Array> {
  let bounds = new Float64Array(2 ** 16);
  let [count, start, isBlank] = [0, 0, true];
  const endLine = (end: number): void => {
    if (!isBlank) {
      if (count === bounds.length) {
        const larger = new Float64Array(2 * count);
        larger.set(bounds);
        bounds = larger;
      }
      bounds[count++] = start;
      bounds[count++] = end;
    }
    isBlank = true;
    start = end + 1;
  };
  for (let from = 0; from < source.size; from += chunkBytes) {
    const bytes = await source.read(from, Math.min(source.size, from + chunkBytes));
    if (from === 0) requireText(bytes, source.name);
    for (let index = 0; index < bytes.length; index++) {
      const byte = bytes[index] ?? 0;
      if (byte === newline) endLine(from + index);
      else if (byte > 0x20) isBlank = false;
    }
  }
  endLine(source.size);
  return bounds.slice(0, count);
}

/** In characters. Parsing needs about ten times this number in bytes of memory. */
const maxLine = 2 ** 25;

export function* linesOf(text: string): Generator<{ readonly line: string; readonly number: number }> {
  for (let start = 0, number = 1; start <= text.length; number++) {
    const next = text.indexOf("\n", start);
    const end = next < 0 ? text.length : next;
    yield { line: text.slice(start, end), number };
    start = end + 1;
  }
}

/** @throws PithError E_DATA for a line that is too long. */
export function requireShortLines(text: string, name: string): void {
  for (const { line, number } of linesOf(text))
    if (line.length > maxLine)
      throw dataError(`${name}, line ${number}: the line is longer than 32 MiB.`, {
        hint: "Store samples of this size in a .npy or .npz file.",
      });
}

/** Decodes UTF-8 text. @throws PithError E_DATA if the first 1 MiB contains zero bytes. */
export function textOf(bytes: Uint8Array, name: string): string {
  requireText(bytes.subarray(0, chunkBytes), name);
  return new TextDecoder().decode(bytes);
}

function requireText(bytes: Uint8Array, name: string): void {
  if (!bytes.includes(0)) return;
  throw dataError(`${name} is not a text file: it holds zero bytes.`, { hint: "Save it as UTF-8." });
}
