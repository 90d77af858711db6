/** Derives the form of a flag's values from the option's schema, and converts words to values. The schema then checks the values. */
import { PithError } from "../../../core/errors.ts";
import { flattenSchema, isWhole, type PipeItem, type SchemaNode } from "../../../core/pass/schema.ts";

type Word = string | number | boolean;

interface ValueForm {
  readonly choices: ReadonlySet<Word>;
  readonly number: boolean;
  /** Whether a value is a number up to 1, which can be written in percent. */
  readonly share: boolean;
  readonly text: boolean;
  readonly toggle: boolean;
  readonly list: ValueForm | undefined;
  readonly json: boolean;
}

export function valueForm(schemas: readonly SchemaNode[]): ValueForm {
  const nodes = schemas.flatMap(flattenSchema);
  const ofType = (...types: readonly string[]) => nodes.filter(({ type }) => types.includes(type));
  const [numbers, lists] = [ofType("number"), ofType("array", "tuple", "strict_tuple")];
  const words = [
    ...ofType("picklist", "enum").flatMap(({ options = [] }) => options),
    ...ofType("literal").map(({ literal }) => literal),
  ];
  const elements = lists.flatMap(({ items, item }) => items ?? (item === undefined ? [] : [item]));
  const recordValues = ofType("record").flatMap(({ value }) => value ?? []);
  return {
    choices: new Set(words.filter(isWord)),
    number: numbers.length > 0,
    share: numbers.some((node) => !isWhole(node) && pipeOf(node).some(isAtMostOne)),
    text: ofType("string").length > 0,
    toggle: ofType("boolean").length > 0,
    list: lists.length === 0 ? undefined : valueForm(elements),
    json:
      ofType("object", "strict_object", "loose_object").length > 0 ||
      recordValues.some((node) => isExpressible(valueForm([node]))),
  };
}

const isAtMostOne = ({ type, requirement }: PipeItem): boolean => type === "max_value" && requirement === 1;

/** Returns whether a word can express any value of this form. Functions, for example, cannot be flags. */
export function isExpressible({ choices, number, text, toggle, list, json }: ValueForm): boolean {
  return choices.size > 0 || number || text || toggle || json || (list !== undefined && isExpressible(list));
}

/** Returns the choices of a flag: "int8, uint8", or "1 to 8" for consecutive numbers. */
export function choicesNote({ list, choices }: ValueForm): string {
  const words = [...(list?.choices ?? []), ...choices];
  const [first] = words;
  const isRange = words.length > 3 && words.every((word, index) => word === Number(first) + index);
  return isRange ? `${first} to ${words.at(-1)}` : words.join(", ");
}

export function valueName(form: ValueForm): string {
  if (form.list !== undefined) return `${valueName(form.list)},…`;
  if (form.text) return "text";
  if (form.number) return form.choices.size > 0 ? "value" : "n";
  return form.json ? "json" : "choice";
}

/** Converts a word to a value. Returns a word that fits no form unchanged. @throws PithError E_OPTION for an ambiguous share. */
export function convertWord(flag: string, text: string, form: ValueForm): unknown {
  const choice = [...form.choices].find((candidate) => String(candidate) === text);
  if (choice !== undefined) return choice;
  const number = readNumber(text);
  if (form.share && number !== undefined && number > 1) {
    const isPercent = number <= 100 && !text.endsWith("%");
    const advice = isPercent
      ? `${text} exceeds 1 (100 %): write ${text}% or ${Number((number / 100).toPrecision(12))}`
      : `expected at most 100%, got ${text}`;
    throw new PithError("E_OPTION", `${flag}: ${advice}.`);
  }
  const isNumeric = form.number || [...form.choices].some((candidate) => typeof candidate === "number");
  if (isNumeric && number !== undefined) return number;
  if (form.toggle && (text === "true" || text === "false")) return text === "true";
  if (!form.json) return text;
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

/** Returns the items of a pipe. If its first schema is a pipe, too, the items of both. */
export function pipeOf({ pipe = [] }: { readonly pipe?: readonly PipeItem[] }): readonly PipeItem[] {
  const [first, ...rest] = pipe;
  return first === undefined ? [] : [...pipeOf(first), ...rest];
}

export function isWord(value: unknown): value is Word {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
