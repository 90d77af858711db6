import { PithError } from "../errors.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { memory } from "./indexed.ts";
import { classNumbers, classOrder, labelName, withLabel } from "./labels.ts";
import { type Nested, nested, tensorOf } from "./nested.ts";
import { isObject, type PlainObject } from "./plain-object.ts";
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
    const cells = rows.map(({ object, place: line }) => {
      const place = `${line}, "${key}"`;
      return { ...nested(object[key], place), place };
    });
    columns[key] = stack(cells, `${name}, "${key}"`);
  }
  const label = labelName(Object.keys(columns), options.inputs);
  const named = label === undefined ? undefined : columns[label];
  let { classes } = options;
  if (label !== undefined && named?.type === "string" && named.dims.length === 1) {
    classes = classOrder(named.data, classes);
    columns[label] = classNumbers(named.data, classes, name);
  }
  return memory(name, withLabel(columns, name, options.inputs), classes);
}

interface Cell extends Nested {
  readonly place: string;
}

function parseObject(line: string, place: string): { readonly object: PlainObject; readonly place: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw new PithError("E_DATA", `${place}: not JSON.`, { cause });
  }
  if (isObject(parsed)) return { object: parsed, place };
  throw new PithError("E_DATA", `${place}: expected an object, {"name": numbers, …}.`);
}

function stack(cells: readonly Cell[], place: string): Dense {
  const shape = cells[0]?.dims ?? [];
  for (const other of cells) {
    if (sameDims(other.dims, shape)) continue;
    throw new PithError("E_DATA", `${other.place}: dimensions [${other.dims}] where the first line has [${shape}].`);
  }
  return tensorOf({ dims: [cells.length, ...shape], values: cells.flatMap((one) => one.values) }, place);
}
