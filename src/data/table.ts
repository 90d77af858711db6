/** Tables of numbers: .csv with a header, and .jsonl with one object a line. */
import { PithError } from "../errors.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { memory } from "./indexed.ts";
import { labelName, withLabel } from "./labels.ts";
import type { IndexedDataset } from "./types.ts";

/**
 * A .csv (or .tsv) table of numbers. The column called label, target, class or y is the label; the others, in order, are "features", float32 N×F.
 * @throws PithError E_DATA with line and column of what is missing or no number.
 */
export function csv(name: string, text: string): IndexedDataset {
  const [header, ...lines] = records(text, name);
  if (header === undefined || lines.length === 0) throw new PithError("E_DATA", `${name} has no rows below a header.`);
  const titles = header.fields.map((title) => title.trim());
  if (titles.every((title) => title !== "" && Number.isFinite(Number(title)))) {
    throw new PithError("E_DATA", `${name}: its first line holds numbers, not the names of the columns.`, {
      hint: 'Add a header line; call the label column "label".',
    });
  }
  const label = labelName(titles.map((title) => title.toLowerCase()));
  const labelAt = label === undefined ? -1 : titles.findIndex((title) => title.toLowerCase() === label);
  const width = titles.length - (labelAt < 0 ? 0 : 1);
  const features = new Float32Array(lines.length * width);
  const labels = new Float64Array(lines.length);
  lines.forEach(({ fields, line }, row) => {
    if (fields.length !== titles.length) {
      throw new PithError("E_DATA", `${name}, line ${line}: expected ${titles.length} fields, got ${fields.length}.`);
    }
    let at = row * width;
    fields.forEach((field, column) => {
      const value = Number(field);
      if (field.trim() === "" || Number.isNaN(value)) {
        throw new PithError(
          "E_DATA",
          `${name}, line ${line}, column "${titles[column]}": expected a number, got "${field}".`,
        );
      }
      if (column === labelAt) labels[row] = value;
      else features[at++] = value;
    });
  });
  const columns: Record<string, Dense> = {};
  if (width > 0) columns.features = { type: "float32", dims: [lines.length, width], data: features };
  if (labelAt >= 0) columns.label = label64(labels);
  return memory(name, withLabel(columns, name));
}

/**
 * One JSON object a line: each key is a column. Numbers and (nested, rectangular) arrays of numbers become tensors, int64 where all are
 * whole and float32 otherwise; text becomes a string tensor.
 * @throws PithError E_DATA with the line that is no object or does not fit the first.
 */
export function jsonl(name: string, text: string): IndexedDataset {
  const rows = text
    .split("\n")
    .flatMap((line, index) => (line.trim() === "" ? [] : [parseObject(line, `${name}, line ${index + 1}`)]));
  const [first] = rows;
  if (first === undefined) throw new PithError("E_DATA", `${name} has no lines.`);
  const columns: Record<string, Dense> = {};
  for (const key of Object.keys(first.object)) {
    const cells = rows.map(({ object, place }) => cell(object[key], `${place}, "${key}"`));
    columns[key] = stack(cells, `${name}, "${key}"`);
  }
  return memory(name, withLabel(columns, name));
}

interface Cell {
  readonly dims: readonly number[];
  readonly values: readonly (number | string)[];
  readonly place: string;
}

function parseObject(
  line: string,
  place: string,
): { readonly object: Record<string, unknown>; readonly place: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw new PithError("E_DATA", `${place}: not JSON.`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new PithError("E_DATA", `${place}: expected an object, {"name": numbers, …}.`);
  }
  return { object: parsed as Record<string, unknown>, place };
}

function cell(value: unknown, place: string): Cell {
  if (typeof value === "number" || typeof value === "string") return { dims: [], values: [value], place };
  if (typeof value === "boolean") return { dims: [], values: [Number(value)], place };
  if (!Array.isArray(value))
    throw new PithError("E_DATA", `${place}: expected numbers or text, got ${JSON.stringify(value)}.`);
  const parts = value.map((part) => cell(part, place));
  const inner = parts[0]?.dims ?? [];
  if (parts.some((part) => !sameDims(part.dims, inner)))
    throw new PithError("E_DATA", `${place}: the rows of an array differ in length.`);
  return { dims: [parts.length, ...inner], values: parts.flatMap((part) => part.values), place };
}

function stack(cells: readonly Cell[], place: string): Dense {
  const shape = cells[0]?.dims ?? [];
  for (const other of cells) {
    if (sameDims(other.dims, shape)) continue;
    throw new PithError("E_DATA", `${other.place}: dimensions [${other.dims}] where the first line has [${shape}].`);
  }
  const dims = [cells.length, ...shape];
  const values = cells.flatMap((one) => one.values);
  const texts = values.filter((value) => typeof value === "string");
  if (texts.length === values.length) return { type: "string", dims, data: texts };
  if (texts.length > 0) throw new PithError("E_DATA", `${place}: some values are text, some are numbers.`);
  const numbers = values.map(Number);
  if (!numbers.every(Number.isSafeInteger)) return { type: "float32", dims, data: Float32Array.from(numbers) };
  return { type: "int64", dims, data: BigInt64Array.from(numbers, BigInt) };
}

function label64(labels: Float64Array): Dense {
  return { type: "float64", dims: [labels.length], data: labels };
}

/** The records of RFC 4180; the separator is a tab if the first line has one, else a comma. Empty lines are skipped. */
function records(text: string, name: string): { readonly fields: readonly string[]; readonly line: number }[] {
  const source = text.startsWith("\uFEFF") ? text.slice(1) : text;
  const lines = source.split(/\r?\n/);
  const separator = lines[0]?.includes("\t") ? "\t" : ",";
  const result: { fields: string[]; line: number }[] = [];
  for (let at = 0; at < lines.length; at++) {
    const start = at;
    let record = lines[at] ?? "";
    // A quoted field may hold line breaks: an odd number of quotes means that it goes on.
    while (quotes(record) % 2 === 1) {
      at++;
      if (at >= lines.length)
        throw new PithError("E_DATA", `${name}, line ${start + 1}: a quotation mark is never closed.`);
      record += `\n${lines[at]}`;
    }
    if (record.trim() !== "") result.push({ fields: fieldsOf(record, separator), line: start + 1 });
  }
  return result;
}

function quotes(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count++;
  return count;
}

function fieldsOf(record: string, separator: string): string[] {
  if (!record.includes('"')) return record.split(separator);
  const fields: string[] = [];
  let at = 0;
  while (at <= record.length) {
    if (record[at] !== '"') {
      const end = record.indexOf(separator, at);
      fields.push(record.slice(at, end < 0 ? undefined : end));
      at = end < 0 ? record.length + 1 : end + 1;
      continue;
    }
    let end = at + 1;
    while (end < record.length && (record[end] !== '"' || record[end + 1] === '"')) end += record[end] === '"' ? 2 : 1;
    fields.push(record.slice(at + 1, end).replaceAll('""', '"'));
    at = end + 2;
  }
  return fields;
}
