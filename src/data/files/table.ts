/** Reads tables (.csv, .tsv) and JSON lines (.jsonl) into memory as datasets. */

import { type IndexedDataset, type ModelInput, memory } from "#batches";
import { type Dense, dataError, isObject, type PlainObject } from "#ir";
import { records, type TextRecord } from "./delimited.ts";
import { classNumbers, classOrder, labelName, requireDistinct, withLabel } from "./labels.ts";
import { linesOf, requireShortLines } from "./lines.ts";
import { flattenArray, TensorBuilder } from "./nested.ts";

export interface TableOptions {
  /** Class names in the model's order. By default, label names are sorted. */
  readonly classes?: readonly string[] | undefined;
  /** The model's inputs. If an input takes one value per sample, a column of its name is fed to this input and is not the label. */
  readonly inputs?: readonly ModelInput[];
}

/**
 * Reads a .csv or .tsv table. A column called label, target, class, score, y or similar is the label: a number or a class name. In a numeric table,
 * the other columns become "features" (float32, N × F), except those of model inputs; in a table with text, each column is separate. The first line
 * is a header unless it contains both text and a number.
 * @throws PithError E_DATA with line and column of missing or invalid values, and for duplicate column names.
 */
export function csv(name: string, text: string, options: TableOptions = {}): IndexedDataset {
  const { titles, rows } = parseTable(name, text);
  const inputs = (options.inputs ?? []).filter(takesOneValue);
  const isInput = titles.map((title) => inputs.some((input) => input.name === title));
  const label = labelName(titles.flatMap((title, column) => (isInput[column] ? [] : [title.toLowerCase()])));
  const labelColumn = titles.findIndex((title, column) => !isInput[column] && title.toLowerCase() === label);
  const isText = titles.map((_, column) => {
    const first = rows.find(({ fields }) => fields[column]?.trim() !== "");
    return first !== undefined && !isNumber(first.fields[column] ?? "");
  });
  for (const { fields, line } of rows) {
    if (fields.length !== titles.length) {
      throw dataError(`${name}, line ${line}: expected ${titles.length} fields, got ${fields.length}.`);
    }
  }
  const cells = (column: number): readonly string[] => rows.map(({ fields }) => fields[column] ?? "");
  const numbers = (column: number): Float64Array =>
    Float64Array.from(rows, ({ fields, line }) => {
      const field = fields[column] ?? "";
      if (isNumber(field)) return Number(field);
      const location = `${name}, line ${line}, column "${titles[column]}"`;
      throw dataError(`${location}: expected a number, got "${field}".`);
    });
  const columns: Record<string, Dense> = {};
  const featureColumns = [...titles.keys()].filter((column) => column !== labelColumn);
  const hasText = featureColumns.some((column) => isText[column]);
  const features: Float64Array[] = [];
  for (const column of featureColumns) {
    const dims = [rows.length];
    if (!hasText && !isInput[column]) features.push(numbers(column));
    else
      columns[titles[column] ?? ""] = isText[column]
        ? { type: "string", dims, data: cells(column) }
        : { type: "float32", dims, data: Float32Array.from(numbers(column)) };
  }
  if (features.length > 0) {
    const data = new Float32Array(rows.length * features.length);
    for (const [index, values] of features.entries())
      for (const [row, value] of values.entries()) data[row * features.length + index] = value;
    columns.features = { type: "float32", dims: [rows.length, features.length], data };
  }
  const hasNames = label !== undefined && isText[labelColumn] === true;
  const classes = hasNames ? classOrder(cells(labelColumn), options.classes) : options.classes;
  if (label !== undefined) {
    columns[label] = hasNames
      ? classNumbers(cells(labelColumn), classes ?? [], name)
      : { type: "float64", dims: [rows.length], data: numbers(labelColumn) };
  }
  return memory(name, withLabel(columns, name, inputs), classes);
}

function takesOneValue({ type }: ModelInput): boolean {
  return type?.dims?.slice(1).every((dim) => dim === 1) === true;
}

function parseTable(
  name: string,
  text: string,
): { readonly titles: readonly string[]; readonly rows: readonly TextRecord[] } {
  const [header, ...otherRows] = records(text, name);
  const areNumbers = header?.fields.map(isNumber) ?? [];
  if (header !== undefined && areNumbers.includes(true) && areNumbers.includes(false)) {
    return { titles: defaultTitles(areNumbers, name), rows: [header, ...otherRows] };
  }
  if (header === undefined || otherRows.length === 0) throw dataError(`${name} has no rows below a header.`);
  if (!areNumbers.includes(false)) {
    throw dataError(`${name}: its first line holds numbers, not the names of the columns.`, {
      hint: 'Add a header line; call the label column "label".',
    });
  }
  requireDistinct(header.fields, name);
  return { titles: header.fields.map((title) => title.trim()), rows: otherRows };
}

/** Names the columns of a table without header: one or two texts, and a label. */
function defaultTitles(areNumbers: readonly boolean[], name: string): readonly string[] {
  const texts = ["text", "text_pair"];
  const titles = areNumbers.map((isLabel) => (isLabel ? "label" : (texts.shift() ?? "")));
  if (new Set(titles).size === titles.length && !titles.includes("")) return titles;
  const text = `its first line holds numbers beside text in ${areNumbers.length} columns, which need names`;
  throw dataError(`${name}: ${text}.`, { hint: 'Add a header line, like "sentence1,sentence2,label".' });
}

function isNumber(field: string): boolean {
  return field.trim() !== "" && !Number.isNaN(Number(field));
}

/**
 * Parses JSON lines. Each key of the first line is a column: int64 if all values are integers, otherwise float32 or text. Class names in the label
 * column become class numbers.
 * @throws PithError E_DATA with the number of a line that is not an object, or whose keys or dimensions differ from those of the first line.
 */
export function jsonl(name: string, text: string, options: TableOptions = {}): IndexedDataset {
  requireShortLines(text, name);
  let builders: ReadonlyMap<string, TensorBuilder> | undefined;
  for (const { line, number } of linesOf(text)) {
    if (line.trim() === "") continue;
    const location = `${name}, line ${number}`;
    const row = parseObject(line, location);
    builders ??= new Map(Object.keys(row).map((key) => [key, new TensorBuilder()]));
    for (const [key, builder] of builders) {
      const cell = `${location}, "${key}"`;
      builder.add(flattenArray(row[key], cell), cell);
    }
    const newKey = Object.keys(row).find((key) => builders?.has(key) === false);
    if (newKey !== undefined) throw dataError(`${location}: the first line has no "${newKey}".`);
  }
  if (builders === undefined) throw dataError(`${name} has no lines.`);
  const columns: Record<string, Dense> = {};
  for (const [key, builder] of builders) columns[key] = builder.build();
  const label = labelName(Object.keys(columns), options.inputs);
  const labels = label === undefined ? undefined : columns[label];
  let { classes } = options;
  if (label !== undefined && labels?.type === "string" && labels.dims.length === 1) {
    classes = classOrder(labels.data, classes);
    columns[label] = classNumbers(labels.data, classes, name);
  }
  return memory(name, withLabel(columns, name, options.inputs), classes);
}

function parseObject(line: string, location: string): PlainObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw dataError(`${location}: not JSON.`, { cause });
  }
  if (isObject(parsed)) return parsed;
  throw dataError(`${location}: expected an object, {"name": numbers, …}.`);
}
