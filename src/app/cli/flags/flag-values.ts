/** Derives the form of a flag's values from the option's schema, and converts words to values. The schema then checks the values. */
import { PithError } from "../../../core/errors.ts";
import { flattenSchema, isWhole, type PipeItem, type SchemaNode } from "../../../core/pass/schema.ts";

type Word = string | number | boolean;

interface ValueForm {
  readonly choices: ReadonlySet<Word>;
  readonly takesNumber: boolean;
  /** Whether a value is a number up to 1, which can be written in percent. */
  readonly takesShare: boolean;
  readonly takesText: boolean;
  readonly takesBoolean: boolean;
  readonly element: ValueForm | undefined;
  readonly takesJson: boolean;
}

export function valueForm(schemas: readonly SchemaNode[]): ValueForm {
  const nodes = schemas.flatMap(flattenSchema);
  const ofType = (...types: readonly string[]) => nodes.filter(({ type }) => types.includes(type));
  const [numberNodes, listNodes] = [ofType("number"), ofType("array", "tuple", "strict_tuple")];
  const words = [
    ...ofType("picklist", "enum").flatMap(({ options = [] }) => options),
    ...ofType("literal").map(({ literal }) => literal),
  ];
  const elements = listNodes.flatMap(({ items, item }) => items ?? (item === undefined ? [] : [item]));
  const recordValues = ofType("record").flatMap(({ value }) => value ?? []);
  return {
    choices: new Set(words.filter(isWord)),
    takesNumber: numberNodes.length > 0,
    takesShare: numberNodes.some((node) => !isWhole(node) && pipeOf(node).some(isAtMostOne)),
    takesText: ofType("string").length > 0,
    takesBoolean: ofType("boolean").length > 0,
    element: listNodes.length === 0 ? undefined : valueForm(elements),
    takesJson:
      ofType("object", "strict_object", "loose_object").length > 0 ||
      recordValues.some((node) => isExpressible(valueForm([node]))),
  };
}

const isAtMostOne = ({ type, requirement }: PipeItem): boolean => type === "max_value" && requirement === 1;

/** Returns whether a word can express some value of this form. No word can express a function, for example. */
export function isExpressible({ choices, element, ...form }: ValueForm): boolean {
  const takesWords = form.takesNumber || form.takesText || form.takesBoolean || form.takesJson;
  return choices.size > 0 || takesWords || (element !== undefined && isExpressible(element));
}

/** Returns the choices of a flag: "int8, uint8", or "1 to 8" for consecutive numbers. */
export function choicesNote({ element, choices }: ValueForm): string {
  const words = [...(element?.choices ?? []), ...choices];
  const [first] = words;
  const isRange = words.length > 3 && words.every((word, index) => word === Number(first) + index);
  return isRange ? `${first} to ${words.at(-1)}` : words.join(", ");
}

export function valueName(form: ValueForm): string {
  if (form.element !== undefined) return `${valueName(form.element)},…`;
  if (form.takesText) return "text";
  if (form.takesNumber) return form.choices.size > 0 ? "value" : "n";
  return form.takesJson ? "json" : "choice";
}

/** Converts a word to a value. Returns a word that fits no form unchanged. @throws PithError E_OPTION for an ambiguous share. */
export function convertWord(flag: string, text: string, form: ValueForm): unknown {
  const choice = [...form.choices].find((candidate) => String(candidate) === text);
  if (choice !== undefined) return choice;
  const number = readNumber(text);
  if (form.takesShare && number !== undefined && number > 1) {
    const isPercent = number <= 100 && !text.endsWith("%");
    const advice = isPercent
      ? `${text} exceeds 1 (100 %): write ${text}% or ${Number((number / 100).toPrecision(12))}`
      : `expected at most 100%, got ${text}`;
    throw new PithError("E_OPTION", `${flag}: ${advice}.`);
  }
  const isNumeric = form.takesNumber || [...form.choices].some((candidate) => typeof candidate === "number");
  if (isNumeric && number !== undefined) return number;
  if (form.takesBoolean && (text === "true" || text === "false")) return text === "true";
  if (!form.takesJson) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function requirePercent(flag: string, text: string): void {
  if (readNumber(text) !== 1 || text.endsWith("%")) return;
  throw new PithError("E_OPTION", `${flag}: 1 is ambiguous (1 % or all): write 1%, 0.01 or 100%.`);
}

/** Parses a number such as 8, 1e-3, .5 or 50%. */
export function readNumber(text: string): number | undefined {
  const isPercent = text.endsWith("%");
  const digits = isPercent ? text.slice(0, -1).trim() : text.trim();
  const value = digits === "" ? Number.NaN : Number(digits);
  if (!Number.isFinite(value)) return undefined;
  // The division alone is inexact: 99.9 / 100 is 0.9990000000000001.
  return isPercent ? Number((value / 100).toPrecision(15)) : value;
}

/** Returns the items of a schema's pipe. If its first item is a pipe, too, returns the items of both. */
export function pipeOf({ pipe = [] }: { readonly pipe?: readonly PipeItem[] }): readonly PipeItem[] {
  const [first, ...rest] = pipe;
  return first === undefined ? [] : [...pipeOf(first), ...rest];
}

export function isWord(value: unknown): value is Word {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
