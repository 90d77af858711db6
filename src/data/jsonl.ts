/** .jsonl: one JSON object a line. */
import { PithError } from "../errors.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { memory } from "./indexed.ts";
import { classNumbers, labelName, withLabel } from "./labels.ts";
import type { TableOptions } from "./table.ts";
import type { IndexedDataset } from "./types.ts";

/**
 * One JSON object a line: each key is a column. Numbers and (nested, rectangular) arrays of numbers become tensors, int64 where all are
 * whole and float32 otherwise; text becomes a string tensor, and names of classes as the label become numbers.
 * @throws PithError E_DATA with the line that is no object or does not fit the first.
 */
export function jsonl(name: string, text: string, options: TableOptions = {}): IndexedDataset {
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
  const label = labelName(Object.keys(columns), options.inputs);
  const named = label === undefined ? undefined : columns[label];
  if (label !== undefined && named?.type === "string" && named.dims.length === 1) {
    columns[label] = classNumbers(named.data, options.classes, name);
  }
  return memory(name, withLabel(columns, name, options.inputs));
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
