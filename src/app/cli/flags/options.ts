/** Converts between option schemas and flags. Only flags on the command line are passed on, so that the schema's defaults apply. */
import { type Command, Option } from "commander";
import * as v from "valibot";
import { optionError, usageError } from "#ir";
import type { FlagMetadata, Meanings, PipeItem, SchemaNode } from "#pass";
import { entriesAt, flattenSchema, isIntegerSchema, wording } from "#pass";
import { checkFlags, keysOf, misfitError, requiredKeys } from "./check-flags.ts";
import { asFlags, flagName } from "./flag-names.ts";

/** Flag whose value is stored under the name of its option. */
export class Flag extends Option {
  /** Whether `--help` shows the flag even if the command has many. */
  readonly isCommon: boolean;
  readonly #key: string;

  constructor(usage: string, description: string, key: string, metadata: FlagMetadata) {
    super(usage, description);
    this.#key = key;
    this.isCommon = metadata.common === true;
    if (metadata.group !== undefined) this.helpGroup(metadata.group);
  }

  override attributeName(): string {
    return this.#key;
  }
}

/** Adds a flag for each entry that words can express. Skips the entries in `without`. */
export function addFlags(command: Command, schema: v.GenericSchema, without: ReadonlySet<string> = new Set()): void {
  for (const [key, alternatives] of entriesAt(schema)) {
    const flag = without.has(key) ? undefined : createFlag(key, alternatives, command);
    if (flag === undefined) continue;
    flag.description = asFlags(flag.description, keysOf(schema));
    command.addOption(flag);
  }
}

/** Returns the explanations of accepted words, with the option's name. */
export function meaningsOf(schema: v.GenericSchema): readonly (readonly [key: string, meanings: Meanings])[] {
  return [...entriesAt(schema)].flatMap(([key, [first]]) => {
    const meanings = first && metadataOf(first).meanings;
    return meanings === undefined ? [] : [[key, meanings] as const];
  });
}

export function flagsOnCommandLine(command: Command, schema: v.GenericSchema): Record<string, unknown> {
  const keys = keysOf(schema);
  const values = command.options.map((option) => {
    const key = option.attributeName();
    return [key, command.getOptionValue(key)] as const;
  });
  return Object.fromEntries(values.filter(([key, value]) => value !== undefined && keys.has(key)));
}

/** Returns the checked values of flags. @throws PithError E_USAGE for a missing flag, E_OPTION with the name of a flag that does not fit. */
export function readFlags<S extends v.GenericSchema>(command: Command, schema: S): v.InferOutput<S> {
  const options = flagsOnCommandLine(command, schema);
  const hint = helpHint(command);
  for (const [key, [first]] of entriesAt(schema))
    if (requiredKeys(schema).has(key) && !(key in options) && first !== undefined && isExpressible(valueForm([first])))
      throw usageError(`${flagName(key)} is needed: ${metadataOf(first).description}.`, { hint });
  return checkFlags(schema, options, hint);
}

/** Separates words that are not the value of a flag with an optional value: `--structured model.onnx` → `--structured=true model.onnx`. */
export function separateFlagValues(command: Command, words: readonly string[]): string[] {
  const separatedWords: string[] = [];
  const end = words.indexOf("--");
  for (let index = 0; index < words.length; index++) {
    const [word = "", next] = words.slice(index);
    const flag = end >= 0 && index > end ? undefined : optionalValueFlag(command, word);
    if (flag === undefined || next === undefined) separatedWords.push(word);
    else if (readNumber(next) !== undefined) separatedWords.push(`${flag.long}=${words[++index]}`);
    else separatedWords.push(rejectionOf(flag, next) === undefined ? word : `${flag.long}=true`);
  }
  return separatedWords;
}

/** Returns why an excess word is not the value of the flag before it. */
export function explainExcessWord(command: Command, words: readonly string[]): unknown {
  for (const [index, word] of words.entries()) {
    const [flag, next] = [optionalValueFlag(command, word), words[index + 1]];
    const rejection = flag && next !== undefined && !next.startsWith("-") ? rejectionOf(flag, next) : undefined;
    if (rejection !== undefined) return rejection;
  }
  return undefined;
}

function optionalValueFlag(command: Command, word: string): Option | undefined {
  return command.options.find(({ optional, long, short }) => optional && (word === long || word === short));
}

function rejectionOf({ parseArg }: Option, word: string): unknown {
  try {
    parseArg?.(word, undefined);
    return undefined;
  } catch (error) {
    return error;
  }
}

function helpHint(command: Command): string {
  const names: string[] = [];
  for (let current: Command | null = command; current !== null; current = current.parent) names.unshift(current.name());
  return `See ${names.join(" ")} --help.`;
}

function createFlag(key: string, alternatives: readonly SchemaNode[], command: Command): Flag | undefined {
  const [first] = alternatives;
  const form = valueForm(alternatives);
  if (first === undefined || !isExpressible(form)) return undefined;

  const metadata = metadataOf(first);
  const name = flagName(key);
  const defaultValue = defaultOf(first);
  const isToggle = form.takesBoolean && !form.takesText && !form.takesNumber && form.choices.size === 0;
  const longFlag = isToggle && defaultValue === true ? name.replace("--", "--no-") : name;
  const flags = `${metadata.short === undefined ? "" : `${metadata.short}, `}${longFlag}`;
  const notes = [
    metadata.meanings === undefined ? choicesNote(form) : "see below",
    isToggle || isEmptyDefault(defaultValue) ? "" : `default ${showDefault(defaultValue)}`,
  ];
  const note = notes.filter((text) => text !== "").join("; ");
  const meaning = longFlag.startsWith("--no-") ? (metadata.negated ?? metadata.description) : metadata.description;
  // The note goes into the parentheses with the default or at the end, or into new ones.
  const noteSpot = meaning.includes("(default") ? /\((?=default)/ : /\((?=[^()]*\)$)/;
  const withNote = noteSpot.test(meaning) ? meaning.replace(noteSpot, `(${note}; `) : `${meaning} (${note})`.trim();
  const description = note === "" ? meaning : withNote;
  if (isToggle) return new Flag(flags, description, key, metadata);

  const value = metadata.value ?? valueName(form);
  // The value of a flag that is also a toggle is optional: --structured, or --structured 0.3.
  const usage = `${flags} ${form.takesBoolean ? `[${value}]` : `<${value}>`}`;
  const flag = new Flag(usage, description, key, metadata);
  const acceptedForm = { ...form, takesShare: form.takesShare && metadata.percent !== false };
  flag.argParser((text: string, before: unknown) => {
    if (metadata.perLayer === true) return readOverride(text, before);
    if (metadata.percent === true) requirePercent(name, text);
    const isSingle = form.takesNumber && readNumber(text) !== undefined && before === undefined;
    const element = isSingle ? undefined : form.element;
    const parts = element === undefined ? [text] : text.split(",").map((word) => word.trim());
    const values = parts.map((part) => convertWord(name, part, element ?? acceptedForm));
    const flagValue = element === undefined ? values[0] : values;
    const instead = parts.map((part) => metadata.instead?.[part]).find((advice) => advice !== undefined);
    requireValidValue(key, alternatives, flagValue, { instead, help: helpHint(command) });
    return element === undefined || before === undefined ? flagValue : [before, flagValue].flat();
  });
  return flag;
}

/** Checks a single option. Constraints between options are checked later. @throws PithError E_OPTION */
function requireValidValue(
  key: string,
  alternatives: readonly SchemaNode[],
  value: unknown,
  { instead, help }: { readonly instead: string | undefined; readonly help: string },
): void {
  const schemas = alternatives.filter(isGenericSchema);
  const [first] = schemas;
  if (first === undefined) return;
  const schema = v.object({ [key]: schemas.length === 1 ? first : v.union(schemas) });
  const { issues } = v.safeParse(schema, { [key]: value }, wording);
  if (issues === undefined) return;
  const error = misfitError(schema, issues, help);
  throw instead === undefined ? error : error.reworded({ hint: instead });
}

const isGenericSchema = (node: SchemaNode): node is SchemaNode & v.GenericSchema => "~run" in node;

/** Parses `layer4*:bits=8,per-channel=false`, and merges it with earlier overrides. */
function readOverride(text: string, before: unknown): Record<string, object> {
  const [, pattern = "", settings = ""] = /^(.+):([^:=]+=.*)$/.exec(text) ?? [];
  if (pattern === "")
    throw optionError(`--override: expected layer:option=value, got "${text}".`, {
      hint: "For instance --override 'layer4*:bits=8'.",
    });
  const entries = settings.split(",").map((setting) => {
    const [, name = setting, value = ""] = /^([^=]+)=(.*)$/.exec(setting) ?? [];
    const key = name.trim().replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const word = value.trim();
    return [key, readNumber(word) ?? (word === "true" ? true : word === "false" ? false : word)];
  });
  const rules: Record<string, object> = typeof before === "object" ? { ...before } : {};
  return { ...rules, [pattern]: { ...rules[pattern], ...Object.fromEntries(entries) } };
}

function schemaLayersOf(schema: SchemaNode): readonly SchemaNode[] {
  return [schema, ...(schema.wrapped === undefined ? [] : schemaLayersOf(schema.wrapped))];
}

/** Merges description and metadata of a schema and the schemas that it wraps. */
function metadataOf(schema: SchemaNode): FlagMetadata & { readonly description: string } {
  const items = schemaLayersOf(schema).flatMap(pipeOf).toReversed();
  return Object.assign(
    { description: "" },
    ...items.map(({ description, metadata }) => ({
      ...metadata,
      ...(description === undefined ? {} : { description }),
    })),
  );
}

function defaultOf(schema: SchemaNode): unknown {
  const value = schemaLayersOf(schema).find((node) => node.default !== undefined)?.default;
  return typeof value === "function" ? value() : value;
}

function isEmptyDefault(value: unknown): boolean {
  return value === undefined || value === false || (Array.isArray(value) && value.length === 0);
}

function showDefault(value: unknown): string {
  if (Array.isArray(value) && value.every(isWord)) return value.join(",");
  return isWord(value) ? String(value) : JSON.stringify(value);
}

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

function valueForm(schemas: readonly SchemaNode[]): ValueForm {
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
    takesShare: numberNodes.some((node) => !isIntegerSchema(node) && pipeOf(node).some(isAtMostOne)),
    takesText: ofType("string").length > 0,
    takesBoolean: ofType("boolean").length > 0,
    element: listNodes.length === 0 ? undefined : valueForm(elements),
    takesJson:
      ofType("object", "strict_object", "loose_object").length > 0 ||
      recordValues.some((node) => isExpressible(valueForm([node]))),
  };
}

const isAtMostOne = ({ type, requirement }: PipeItem): boolean => type === "max_value" && requirement === 1;

/** Returns whether a word can express a value of this form. */
function isExpressible({ choices, element, ...form }: ValueForm): boolean {
  const takesWords = form.takesNumber || form.takesText || form.takesBoolean || form.takesJson;
  return choices.size > 0 || takesWords || (element !== undefined && isExpressible(element));
}

/** Returns the choices of a flag: "int8, uint8", or "1 to 8" for consecutive numbers. */
function choicesNote({ element, choices }: ValueForm): string {
  const words = [...(element?.choices ?? []), ...choices];
  const [first] = words;
  const isRange = words.length > 3 && words.every((word, index) => word === Number(first) + index);
  return isRange ? `${first} to ${words.at(-1)}` : words.join(", ");
}

function valueName(form: ValueForm): string {
  if (form.element !== undefined) return `${valueName(form.element)},…`;
  if (form.takesText) return "text";
  if (form.takesNumber) return form.choices.size > 0 ? "value" : "n";
  return form.takesJson ? "json" : "choice";
}

/** Converts a word to a value. @throws PithError E_OPTION for a share above 1. */
function convertWord(flag: string, text: string, form: ValueForm): unknown {
  const choice = [...form.choices].find((candidate) => String(candidate) === text);
  if (choice !== undefined) return choice;
  const number = readNumber(text);
  if (form.takesShare && number !== undefined && number > 1) {
    const isPercent = number <= 100 && !text.endsWith("%");
    const advice = isPercent
      ? `${text} exceeds 1 (100 %): write ${text}% or ${Number((number / 100).toPrecision(12))}`
      : `expected at most 100%, got ${text}`;
    throw optionError(`${flag}: ${advice}.`);
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

function requirePercent(flag: string, text: string): void {
  if (readNumber(text) !== 1 || text.endsWith("%")) return;
  throw optionError(`${flag}: 1 is ambiguous (1 % or all): write 1%, 0.01 or 100%.`);
}

function readNumber(text: string): number | undefined {
  const isPercent = text.endsWith("%");
  const digits = isPercent ? text.slice(0, -1).trim() : text.trim();
  const value = digits === "" ? Number.NaN : Number(digits);
  if (!Number.isFinite(value)) return undefined;
  // The division alone is inexact: 99.9 / 100 is 0.9990000000000001.
  return isPercent ? Number((value / 100).toPrecision(15)) : value;
}

/** Returns the items of a schema's pipe, with those of a nested pipe. */
function pipeOf({ pipe = [] }: { readonly pipe?: readonly PipeItem[] }): readonly PipeItem[] {
  const [first, ...rest] = pipe;
  return first === undefined ? [] : [...pipeOf(first), ...rest];
}

function isWord(value: unknown): value is Word {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
