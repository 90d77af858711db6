/** Tables: .csv and .tsv, of numbers, of text, or of both. */
import { PithError } from "../errors.ts";
import type { Dense } from "../tensor/types.ts";
import type { ModelInput } from "./bind.ts";
import { records, type TextRecord } from "./delimited.ts";
import { memory } from "./indexed.ts";
import { classNumbers, classOrder, labelName, requireDistinct, withLabel } from "./labels.ts";
import type { IndexedDataset } from "./types.ts";

export interface TableOptions {
  /** The names of the classes in the model's order, for labels that are names; otherwise they are numbered as they sort. */
  readonly classes?: readonly string[] | undefined;
  /** What the model is fed with: a column of such a name is an input and no label; of a table of numbers, where that input takes one a sample. */
  readonly inputs?: readonly ModelInput[];
}

/**
 * A .csv (or .tsv) table. The column called label, target, class, score, y or the like is the label: a number, or the name of a class. Of a
 * table of numbers the other columns, in order, are "features", float32 N×F, but for those that the model has inputs for; where some hold
 * text, each is a column of its own.
 * The first line names the columns, unless a number stands in it beside text: then they are "text", "text_pair" and the label.
 * @throws PithError E_DATA with line and column of what is missing or does not fit, and for two columns of one name.
 */
export function csv(name: string, text: string, options: TableOptions = {}): IndexedDataset {
  const { titles, rows } = table(name, text);
  const inputs = (options.inputs ?? []).filter(takesOne);
  const fed = titles.map((title) => inputs.some((input) => input.name === title));
  const label = labelName(titles.flatMap((title, column) => (fed[column] ? [] : [title.toLowerCase()])));
  const labelAt = titles.findIndex((title, column) => !fed[column] && title.toLowerCase() === label);
  const isText = titles.map((_, column) => {
    const first = rows.find(({ fields }) => fields[column]?.trim() !== "");
    return first !== undefined && !isNumber(first.fields[column] ?? "");
  });
  for (const { fields, line } of rows) {
    if (fields.length !== titles.length) {
      throw new PithError("E_DATA", `${name}, line ${line}: expected ${titles.length} fields, got ${fields.length}.`);
    }
  }
  const cells = (column: number): readonly string[] => rows.map(({ fields }) => fields[column] ?? "");
  const numbers = (column: number): Float64Array =>
    Float64Array.from(rows, ({ fields, line }) => {
      const field = fields[column] ?? "";
      if (isNumber(field)) return Number(field);
      const place = `${name}, line ${line}, column "${titles[column]}"`;
      throw new PithError("E_DATA", `${place}: expected a number, got "${field}".`);
    });
  const columns: Record<string, Dense> = {};
  const others = titles.flatMap((_, column) => (column === labelAt ? [] : [column]));
  const mixed = others.some((column) => isText[column]);
  const apart = others.filter((column) => mixed || fed[column]);
  const together = others.filter((column) => !mixed && !fed[column]);
  for (const column of apart) {
    const dims = [rows.length];
    columns[titles[column] ?? ""] = isText[column]
      ? { type: "string", dims, data: cells(column) }
      : { type: "float32", dims, data: Float32Array.from(numbers(column)) };
  }
  if (together.length > 0) {
    const features = new Float32Array(rows.length * together.length);
    together.forEach((column, at) => {
      numbers(column).forEach((value, row) => {
        features[row * together.length + at] = value;
      });
    });
    columns.features = { type: "float32", dims: [rows.length, together.length], data: features };
  }
  const named = label !== undefined && isText[labelAt] === true;
  const classes = named ? classOrder(cells(labelAt), options.classes) : options.classes;
  if (label !== undefined) {
    columns[label] = named
      ? classNumbers(cells(labelAt), classes ?? [], name)
      : { type: "float64", dims: [rows.length], data: numbers(labelAt) };
  }
  return memory(name, withLabel(columns, name, inputs), classes);
}

/** Whether an input takes one number, or one text, of a sample. */
function takesOne({ type }: ModelInput): boolean {
  return type?.dims?.slice(1).every((dim) => dim === 1) === true;
}

function table(
  name: string,
  text: string,
): { readonly titles: readonly string[]; readonly rows: readonly TextRecord[] } {
  const [header, ...below] = records(text, name);
  const numeric = header?.fields.map(isNumber) ?? [];
  if (header !== undefined && numeric.includes(true) && numeric.includes(false)) {
    return { titles: untitled(numeric, name), rows: [header, ...below] };
  }
  if (header === undefined || below.length === 0) throw new PithError("E_DATA", `${name} has no rows below a header.`);
  if (!numeric.includes(false)) {
    throw new PithError("E_DATA", `${name}: its first line holds numbers, not the names of the columns.`, {
      hint: 'Add a header line; call the label column "label".',
    });
  }
  requireDistinct(header.fields, name);
  return { titles: header.fields.map((title) => title.trim()), rows: below };
}

/** What the columns of a table without a header are: one text or two, and a label. */
function untitled(numeric: readonly boolean[], name: string): readonly string[] {
  const texts = ["text", "text_pair"];
  const titles = numeric.map((isLabel) => (isLabel ? "label" : (texts.shift() ?? "")));
  if (new Set(titles).size === titles.length && !titles.includes("")) return titles;
  const found = `its first line holds numbers beside text in ${numeric.length} columns`;
  throw new PithError("E_DATA", `${name}: ${found}, which need names.`, {
    hint: 'Add a header line, like "sentence1,sentence2,label".',
  });
}

function isNumber(field: string): boolean {
  return field.trim() !== "" && !Number.isNaN(Number(field));
}
