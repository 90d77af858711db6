import { PithError } from "../errors.ts";
import type { Dense } from "../tensor/types.ts";
import { memory } from "./indexed.ts";
import { classNumbers, classOrder, labelName, withLabel } from "./labels.ts";
import { linesOf, requireShortLines } from "./lines.ts";
import { nested, TensorBuilder } from "./nested.ts";
import { isObject, type PlainObject } from "./plain-object.ts";
import type { TableOptions } from "./table.ts";
import type { IndexedDataset } from "./types.ts";

/**
 * Parses JSON lines: each key is a column. Numbers and (nested, rectangular) arrays become tensors, int64 if all are integers,
 * else float32; text becomes a string tensor, and class names in the label become numbers.
 * @throws PithError E_DATA with the line that is not an object or does not fit the first.
 */
export function jsonl(name: string, text: string, options: TableOptions = {}): IndexedDataset {
  requireShortLines(text, name);
  let builders: ReadonlyMap<string, TensorBuilder> | undefined;
  for (const { line, number } of linesOf(text)) {
    if (line.trim() === "") continue;
    const place = `${name}, line ${number}`;
    const row = parseObject(line, place);
    builders ??= new Map(Object.keys(row).map((key) => [key, new TensorBuilder(`${name}, "${key}"`)]));
    for (const [key, builder] of builders) {
      const cell = `${place}, "${key}"`;
      builder.add(nested(row[key], cell), cell);
    }
  }
  if (builders === undefined) throw new PithError("E_DATA", `${name} has no lines.`);
  const columns: Record<string, Dense> = {};
  for (const [key, builder] of builders) columns[key] = builder.build();
  const label = labelName(Object.keys(columns), options.inputs);
  const named = label === undefined ? undefined : columns[label];
  let { classes } = options;
  if (label !== undefined && named?.type === "string" && named.dims.length === 1) {
    classes = classOrder(named.data, classes);
    columns[label] = classNumbers(named.data, classes, name);
  }
  return memory(name, withLabel(columns, name, options.inputs), classes);
}

function parseObject(line: string, place: string): PlainObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw new PithError("E_DATA", `${place}: not JSON.`, { cause });
  }
  if (isObject(parsed)) return parsed;
  throw new PithError("E_DATA", `${place}: expected an object, {"name": numbers, …}.`);
}
