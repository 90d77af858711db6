/** Finds the label column of a file by its common names, and converts labels to class numbers: the column "label" (int64). */
import { type Batch, type Dense, dataError, toFloat64, toInt64, truncateList } from "#ir";

/** In descending priority. */
export const labelNames: readonly string[] = "label labels target targets class score sentiment similarity y".split(
  " ",
);

/** Requires distinct column names (label names in any case). @throws PithError E_DATA with the numbers of columns of the same name. */
export function requireDistinct(titles: readonly string[], owner: string): void {
  const canonicalTitles = titles.map((title) => {
    const lower = title.trim().toLowerCase();
    return labelNames.includes(lower) ? lower : title.trim();
  });
  const firstColumns = new Map<string, number>();
  const duplicateColumn = canonicalTitles.findIndex((title, column) => {
    if (firstColumns.has(title)) return true;
    firstColumns.set(title, column);
    return false;
  });
  const firstColumn = firstColumns.get(canonicalTitles[duplicateColumn] ?? "");
  if (firstColumn === undefined) return;
  throw dataError(
    `${owner}: the columns ${firstColumn + 1} and ${duplicateColumn + 1} are both called "${canonicalTitles[duplicateColumn]}".`,
    { hint: "Rename one of them, or leave it out." },
  );
}

/** @throws PithError E_DATA if a label is not an integer. */
export function classLabels(labels: Dense, owner: string): Dense<"int64"> {
  if (labels.type === "int64") return labels;
  if (labels.type === "string") throw dataError(`${owner}: labels are text; give each class its number.`);
  const numbers = toFloat64(labels);
  const wrongIndex = numbers.findIndex((value) => !Number.isInteger(value));
  if (wrongIndex >= 0)
    throw dataError(`${owner}: label ${wrongIndex} is ${numbers[wrongIndex]}, not the number of a class.`);
  return { type: "int64", dims: labels.dims, data: BigInt64Array.from(Array.from(numbers, toInt64)) };
}

/** @param inputs of the model: a column with an input's name is not the label. */
export function labelName(columns: readonly string[], inputs: readonly NamedInput[] = []): string | undefined {
  return labelNames.find((name) => columns.includes(name) && !inputs.some((input) => input.name === name));
}

export function inputsLikeLabels(inputs: readonly NamedInput[]): readonly string[] {
  return inputs.flatMap(({ name }) => (labelNames.includes(name) ? [name] : []));
}

interface NamedInput {
  readonly name: string;
}

/** Renames the label column to "label", and converts integers to int64 classes. @throws PithError E_DATA for text labels or another "label". */
export function withLabel(columns: Batch, owner: string, inputs: readonly NamedInput[] = []): Batch {
  const title = labelName(Object.keys(columns), inputs);
  const label = title === undefined ? undefined : columns[title];
  if (title === undefined || label === undefined) return columns;
  if (title !== "label" && columns.label !== undefined) {
    throw dataError(
      `${owner}: "label" is an input of the model, and "${title}" cannot be the label under the same name.`,
      { hint: [`Leave "${title}" out.`, "Without labels the model can be compared with its original (`original`)."] },
    );
  }
  const rest = Object.fromEntries(Object.entries(columns).filter(([name]) => name !== title));
  return { ...rest, label: areClasses(label) ? flattenLabels(classLabels(label, owner)) : label };
}

function areClasses(label: Dense): boolean {
  if (label.type === "string" || label.type === "int64") return true;
  return toFloat64(label).every((value) => Number.isInteger(value));
}

function flattenLabels(label: Dense<"int64">): Dense<"int64"> {
  const [count, width, ...rest] = label.dims;
  return count !== undefined && width === 1 && rest.length === 0 ? { ...label, dims: [count] } : label;
}

/** Returns a class's number. Case is ignored; spaces, "_" and "-" are equal; other digits are the number. @throws PithError E_DATA if unknown. */
export function classNumber(name: string, classes: readonly string[], location: string): number {
  const exactIndex = classes.indexOf(name);
  if (exactIndex >= 0) return exactIndex;
  const similarIndex = classes.findIndex((candidate) => normalizeName(candidate) === normalizeName(name));
  if (similarIndex >= 0) return similarIndex;
  if (/^\d+$/.test(name)) return Number(name);
  throw dataError(
    `${location}: class "${name}" is not one of the ${classes.length} classes ${truncateList(classes, 4)}.`,
    { hint: "List the classes in names.txt in the folder, one per line in the model's order, or use class numbers." },
  );
}

function normalizeName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, " ")
    .trim();
}

/** Returns class names in the order of their numbers: `classes`, or by default the sorted names. */
export function classOrder(names: readonly string[], classes: readonly string[] | undefined): readonly string[] {
  return classes ?? [...new Set(names)].sort();
}

/** @param order of `classOrder`. @throws PithError E_DATA for an unknown class. */
export function classNumbers(names: readonly string[], order: readonly string[], owner: string): Dense<"int64"> {
  const data = BigInt64Array.from(names, (name) => BigInt(classNumber(name, order, owner)));
  return { type: "int64", dims: [names.length], data };
}
