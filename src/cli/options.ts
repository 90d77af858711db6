/**
 * Flags from option schemas, and options from flags.
 *
 * A pass or command declares its options once, as a valibot object; this file reads the declaration. `maxDrop` becomes `--max-drop`;
 * a list is given by commas or by repeating the flag; 50% is 0.5; what no plain word can express (objects) is given as JSON. Only flags
 * that were given are passed on, so the schema's own defaults hold.
 */
import { type Command, Option } from "commander";
import * as v from "valibot";
import { PithError } from "../errors.ts";
import { nearest } from "../graph/nearest.ts";

/** Extra facts for the command line: `v.metadata({ short: "-o", value: "file" } satisfies FlagMetadata)`. */
export interface FlagMetadata {
  /** A one-letter flag. */
  readonly short?: string;
  /** What to call the value in the help. */
  readonly value?: string;
  /** 1 is refused without a percent sign: nobody can tell whether 1 is meant as 1 % or as all. */
  readonly percent?: boolean;
}

/** What this file reads of a schema: valibot keeps it as plain properties. */
interface SchemaNode {
  readonly type: string;
  readonly wrapped?: SchemaNode;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly options?: readonly unknown[];
  readonly item?: SchemaNode;
  readonly items?: readonly SchemaNode[];
  readonly literal?: unknown;
  readonly value?: SchemaNode;
  readonly pipe?: readonly PipeItem[];
}

interface PipeItem {
  readonly kind: string;
  readonly type: string;
  readonly description?: string;
  readonly requirement?: unknown;
  readonly pipe?: readonly PipeItem[];
  readonly metadata?: FlagMetadata;
}

type Word = string | number | boolean;

/** What a flag's value may be. */
interface Accepted {
  readonly choices: Set<Word>;
  number: "any" | "integer" | undefined;
  /** The number is a share: at most 1. */
  share: boolean;
  text: boolean;
  toggle: boolean;
  list: Accepted | undefined;
  json: boolean;
}

/** Adds a flag for each entry of an object schema (of all its members, where it is a union of objects), except those in `without`. */
export function addFlags(command: Command, schema: v.GenericSchema, without: ReadonlySet<string> = new Set()): void {
  for (const [key, alternatives] of entriesOf(schema as SchemaNode)) {
    if (without.has(key)) continue;
    const option = flagOf(key, alternatives);
    if (option !== undefined) command.addOption(option);
  }
}

/** The options that were given on the command line, as they were given: whoever takes them checks them. */
export function givenFlags(command: Command, schema: v.GenericSchema): Record<string, unknown> {
  const known = entriesOf(schema as SchemaNode);
  const given: Record<string, unknown> = {};
  for (const option of command.options) {
    const key = option.attributeName();
    const value: unknown = command.getOptionValue(key);
    if (value !== undefined && known.has(key)) given[key] = value;
  }
  return given;
}

/**
 * The options that were given on the command line, checked and completed by the schema.
 * @throws PithError E_OPTION naming the flag that does not fit.
 */
export function readFlags<S extends v.GenericSchema>(command: Command, schema: S): v.InferOutput<S> {
  const result = v.safeParse(schema, givenFlags(command, schema));
  if (result.success) return result.output;
  throw refusal(schema, result.issues[0], helpHint(command));
}

/** Checks the options of a pass. @throws PithError E_OPTION in the words of flags. */
export function requireFitting(schema: v.GenericSchema, options: unknown, hint: string): void {
  const result = v.safeParse(schema, options);
  if (!result.success) throw refusal(schema, result.issues[0], hint);
}

function refusal(schema: v.GenericSchema, issue: v.BaseIssue<unknown>, hint: string): PithError {
  const key = issue.path?.[0]?.key;
  const said = sentenceOf(issue, keysOf(schema)).replace(/\.$/, "");
  const place = typeof key === "string" ? `--${kebab(key)}: ${said}` : `${said[0]?.toUpperCase()}${said.slice(1)}`;
  return new PithError("E_OPTION", `${place}.`, { hint });
}

/** An error of a pass in the words of flags: what it calls `` `learningRate` `` is --learning-rate here. */
export function inFlags(error: PithError, schema: v.GenericSchema): PithError {
  // Options of every command, which passes know by these names.
  const keys = new Set([...keysOf(schema), "seed"]);
  const said = (text: string): string =>
    text.replace(/`(\w+)`/g, (whole, word: string) => (keys.has(word) ? `--${kebab(word)}` : whole));
  const hint = error.hint === undefined ? {} : { hint: said(error.hint) };
  return new PithError(error.code, said(error.message), { ...hint, cause: error.cause });
}

const bounds = new Map([
  ["min_value", "at least"],
  ["max_value", "at most"],
  ["gt_value", "more than"],
  ["lt_value", "less than"],
]);

/** What a check says: of several options together by the names of their flags, and of a bound in words. */
function sentenceOf({ type, message, requirement, received }: v.BaseIssue<unknown>, keys: ReadonlySet<string>): string {
  if (type === "check" || type === "raw_check")
    return message.replace(/\w+/g, (word) => (keys.has(word) ? `--${kebab(word)}` : word));
  if (!message.startsWith("Invalid ")) return message;
  const bound = bounds.get(type);
  if (bound !== undefined) return `expected ${bound} ${String(requirement)}, got ${received}`;
  if (type === "integer") return `expected an integer, got ${message.slice(message.lastIndexOf(" ") + 1)}`;
  if (type === "non_empty") return "expected at least one";
  return message;
}

/** A flag that must be given: what it is for, and the words that it takes where only some fit. */
export class RequiredFlag extends Option {
  readonly meaning: string;

  constructor(flags: string, description: string, choices: readonly string[]) {
    super(flags, description);
    this.meaning =
      choices.length === 0 ? description : new Intl.ListFormat("en", { type: "disjunction" }).format(choices);
    this.makeOptionMandatory();
  }
}

/**
 * The words with what is no value kept from flags that may stand alone: `--structured model.onnx` becomes
 * `--structured=true model.onnx`, as `model.onnx` is none that the flag takes.
 */
export function settleFlags(command: Command, words: readonly string[]): string[] {
  const end = words.indexOf("--");
  return words.map((word, index) => {
    const flag = command.options.find(({ optional, long, short }) => optional && (word === long || word === short));
    const next = words[index + 1];
    if (flag?.parseArg === undefined || next === undefined || (end >= 0 && index > end)) return word;
    try {
      flag.parseArg(next, undefined);
      return word;
    } catch {
      // A number that does not fit is refused as one when the flag is read.
      return readNumber(next) === undefined ? `${flag.long}=true` : word;
    }
  });
}

/** The names of the options that a schema declares. */
export function keysOf(schema: v.GenericSchema): ReadonlySet<string> {
  return new Set(entriesOf(schema as SchemaNode).keys());
}

/** Those of them that have no default and may not be left out. */
export function requiredKeys(schema: v.GenericSchema): ReadonlySet<string> {
  const entries = [...entriesOf(schema as SchemaNode)];
  return new Set(entries.flatMap(([key, alternatives]) => (alternatives.some(isOptional) ? [] : [key])));
}

/** "See pith quantize --help." */
export function helpHint(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return `See ${names.join(" ")} --help.`;
}

/** Entries of an object by key; a union or intersection of objects has those of its members. */
function entriesOf(schema: SchemaNode): Map<string, SchemaNode[]> {
  const found = new Map<string, SchemaNode[]>();
  const visit = (node: SchemaNode): void => {
    if (node.wrapped !== undefined) visit(node.wrapped);
    for (const member of node.options ?? []) if (isSchema(member)) visit(member);
    for (const [key, entry] of Object.entries(node.entries ?? {})) found.set(key, [...(found.get(key) ?? []), entry]);
  };
  visit(schema);
  return found;
}

function flagOf(key: string, alternatives: readonly SchemaNode[]): Option | undefined {
  const accepted = nothing();
  for (const alternative of alternatives) accept(alternative, accepted);
  const [first] = alternatives;
  if (first === undefined || !isExpressible(accepted)) return undefined;

  const facts = factsOf(first);
  const fallback = defaultOf(first);
  const onlyToggle = accepted.toggle && !accepted.text && accepted.number === undefined && accepted.choices.size === 0;
  const stem = `--${onlyToggle && fallback === true ? "no-" : ""}${kebab(key)}`;
  const flags = `${facts.short === undefined ? "" : `${facts.short}, `}${stem}`;
  const notes = [choicesNote(accepted), onlyToggle || fallback === undefined ? "" : `default ${showDefault(fallback)}`];
  const note = notes.filter((text) => text !== "").join("; ");
  const meaning =
    stem.startsWith("--no-") && facts.description !== "" ? `turn off: ${facts.description}` : facts.description;
  const description = `${meaning}${note === "" ? "" : ` (${note})`}`.trim();
  if (onlyToggle) return new Option(flags, description);

  const value = facts.value ?? valueName(accepted);
  // A flag that may stand alone: --structured, or --structured 0.3.
  const usage = `${flags} ${accepted.toggle ? `[${value}]` : `<${value}>`}`;
  const option = alternatives.some(isOptional)
    ? new Option(usage, description)
    : new RequiredFlag(usage, description, [...accepted.choices].map(String));
  option.argParser((text: string, before: unknown) => {
    if (facts.percent === true) requirePercent(`--${kebab(key)}`, text);
    if (accepted.list === undefined) return readWord(`--${kebab(key)}`, text, accepted);
    const element = accepted.list;
    const words = text.split(",").map((word) => readWord(`--${kebab(key)}`, word.trim(), element));
    return Array.isArray(before) ? [...before, ...words] : words;
  });
  return option;
}

function readWord(flag: string, text: string, accepted: Accepted): unknown {
  const choice = [...accepted.choices].find((candidate) => String(candidate) === text);
  if (choice !== undefined) return choice;
  const number = readNumber(text);
  if (accepted.share && number !== undefined && number > 1 && !text.endsWith("%")) {
    throw new PithError("E_OPTION", `${flag}: ${text} is more than all: write ${text}% or ${number / 100}.`);
  }
  if (accepted.number !== undefined && number !== undefined) {
    if (accepted.number === "any" || Number.isInteger(number)) return number;
  }
  if (accepted.toggle && (text === "true" || text === "false")) return text === "true";
  if (accepted.json) {
    try {
      return JSON.parse(text);
    } catch {
      if (!accepted.text) throw new PithError("E_OPTION", `${flag}: expected JSON, got "${text}".`);
    }
  }
  if (accepted.text) return text;
  const meant = nearest(text, [...accepted.choices].map(String));
  throw new PithError("E_OPTION", `${flag}: expected ${expectation(accepted)}, got "${text}".`, {
    ...(meant === undefined ? {} : { hint: `Did you mean ${meant}?` }),
  });
}

function requirePercent(flag: string, text: string): void {
  const number = readNumber(text);
  if (number !== 1 || text.endsWith("%")) return;
  throw new PithError("E_OPTION", `${flag}: 1 could be 1 % or all: write 1%, 0.01 or 100%.`);
}

/** 8, 1e-3, .5, 50%. */
function readNumber(text: string): number | undefined {
  const percent = text.endsWith("%");
  const digits = percent ? text.slice(0, -1).trim() : text.trim();
  const value = digits === "" ? Number.NaN : Number(digits);
  if (!Number.isFinite(value)) return undefined;
  return percent ? value / 100 : value;
}

function expectation(accepted: Accepted): string {
  const parts: string[] = [];
  if (accepted.choices.size > 0) parts.push([...accepted.choices].join(", "));
  if (accepted.toggle) parts.push("true, false");
  if (accepted.number !== undefined) parts.push(accepted.number === "integer" ? "an integer" : "a number");
  return parts.join(" or ");
}

function nothing(): Accepted {
  return {
    choices: new Set(),
    number: undefined,
    share: false,
    text: false,
    toggle: false,
    list: undefined,
    json: false,
  };
}

function isExpressible(accepted: Accepted): boolean {
  const { choices, number, text, toggle, list, json } = accepted;
  return (
    choices.size > 0 || number !== undefined || text || toggle || json || (list !== undefined && isExpressible(list))
  );
}

/** Adds to `accepted` what a schema accepts. Types that only code can make (instances, functions) add nothing. */
function accept(schema: SchemaNode, accepted: Accepted): void {
  if (schema.wrapped !== undefined) accept(schema.wrapped, accepted);
  switch (schema.type) {
    case "string":
      accepted.text = true;
      break;
    case "number":
      if (pipeOf(schema).some(({ type }) => type === "integer" || type === "safe_integer")) {
        accepted.number ??= "integer";
      } else {
        accepted.number = "any";
        if (pipeOf(schema).some(({ type, requirement }) => type === "max_value" && requirement === 1))
          accepted.share = true;
      }
      break;
    case "boolean":
      accepted.toggle = true;
      break;
    case "picklist":
    case "enum":
      for (const option of schema.options ?? []) if (isWord(option)) accepted.choices.add(option);
      break;
    case "literal":
      if (isWord(schema.literal)) accepted.choices.add(schema.literal);
      break;
    case "union":
    case "variant":
      for (const member of schema.options ?? []) if (isSchema(member)) accept(member, accepted);
      break;
    case "array":
    case "tuple":
    case "strict_tuple":
      accepted.list ??= nothing();
      for (const item of schema.items ?? [schema.item]) if (item !== undefined) accept(item, accepted.list);
      break;
    case "object":
    case "strict_object":
    case "loose_object":
      accepted.json = true;
      break;
    case "record": {
      const values = nothing();
      if (schema.value !== undefined) accept(schema.value, values);
      if (isExpressible(values)) accepted.json = true;
      break;
    }
  }
}

/** All that a value goes through: a pipe may begin with a schema that is one itself. */
function pipeOf({ pipe = [] }: { readonly pipe?: readonly PipeItem[] }): readonly PipeItem[] {
  const [first, ...rest] = pipe;
  return first === undefined ? [] : [...pipeOf(first), ...rest];
}

function isSchema(value: unknown): value is SchemaNode {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "schema";
}

function isWord(value: unknown): value is Word {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** Description and metadata, the outermost first. */
function factsOf(schema: SchemaNode): FlagMetadata & { readonly description: string } {
  let facts: FlagMetadata & { readonly description: string } = { description: "" };
  for (let node: SchemaNode | undefined = schema; node !== undefined; node = node.wrapped) {
    for (const item of pipeOf(node)) {
      if (item.type === "metadata") facts = { ...item.metadata, ...facts };
      if (item.type === "description" && facts.description === "") {
        facts = { ...facts, description: item.description ?? "" };
      }
    }
  }
  return facts;
}

function isOptional(schema: SchemaNode): boolean {
  return /^(optional|exact_optional|nullish|undefinedable)$/.test(schema.type);
}

function defaultOf(schema: SchemaNode): unknown {
  for (let node: SchemaNode | undefined = schema; node !== undefined; node = node.wrapped) {
    if (node.default !== undefined) return typeof node.default === "function" ? node.default() : node.default;
  }
  return undefined;
}

function choicesNote(accepted: Accepted): string {
  return [...(accepted.list?.choices ?? []), ...accepted.choices].join(", ");
}

function showDefault(value: unknown): string {
  if (Array.isArray(value) && value.every(isWord)) return value.length === 0 ? "none" : value.join(",");
  return isWord(value) ? String(value) : JSON.stringify(value);
}

function valueName(accepted: Accepted): string {
  if (accepted.list !== undefined) return `${valueName(accepted.list)},…`;
  if (accepted.text) return "text";
  if (accepted.number !== undefined) return accepted.choices.size > 0 ? "value" : "n";
  return accepted.json ? "json" : "choice";
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
