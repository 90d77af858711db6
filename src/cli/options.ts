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
import { misfitOf } from "../passes/option-errors.ts";
import type { FlagMetadata, Meanings } from "../passes/options.ts";
import { isSchema, type SchemaNode } from "../passes/schema.ts";
import {
  accept,
  choicesNote,
  isExpressible,
  isWord,
  nothing,
  pipeOf,
  readNumber,
  readWord,
  requirePercent,
  valueName,
} from "./flag-values.ts";
import { asFlags, flagName, refusal, withGiven } from "./invalid-options.ts";

/** Adds a flag for each entry of an object schema (of all its members, where it is a union of objects), except those in `without`. */
export function addFlags(command: Command, schema: v.GenericSchema, without: ReadonlySet<string> = new Set()): void {
  for (const [key, alternatives] of entriesOf(schema as SchemaNode)) {
    if (without.has(key)) continue;
    const option = flagOf(key, alternatives);
    if (option === undefined) continue;
    option.description = asFlags(option.description, keysOf(schema));
    command.addOption(option);
  }
}

export function meaningsOf(schema: v.GenericSchema): readonly Meanings[] {
  const entries = [...entriesOf(schema as SchemaNode).values()];
  return entries.flatMap(([first]) => (first === undefined ? [] : (factsOf(first).meanings ?? [])));
}

/** The options that were given on the command line, unchecked. */
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
  return fitting(schema, givenFlags(command, schema), helpHint(command));
}

/** Options as a schema completes them. @throws PithError E_OPTION in the words of flags. */
export function fitting<S extends v.GenericSchema>(schema: S, options: unknown, hint: string): v.InferOutput<S> {
  const result = v.safeParse(schema, options, withGiven);
  if (result.success) return result.output;
  const [issue] = result.issues;
  if ((issue.path?.length ?? 0) < 2) throw refusal(issue, keysOf(schema), hint);
  // Inside an option: of a layer's own.
  const inside = misfitOf(schema, result.issues, { owner: "" });
  const [key, ...path] = inside.path.map(String);
  throw new PithError("E_OPTION", `${flagName(key ?? "")}: ${path.join(": ")}: ${inside.sentence}.`, {
    hint: inside.hint ?? hint,
  });
}

/** The words that a flag takes: all that fit, or some that have names. */
interface Words {
  readonly words: readonly string[];
  /** Several of them, with commas between. */
  readonly isList: boolean;
}

/** A flag with a value, kept under the name of the option. */
export class ValueFlag extends Option implements Words {
  readonly words: readonly string[];
  readonly isList: boolean;
  readonly #key: string;

  constructor(usage: string, description: string, key: string, { words, isList }: Words) {
    super(usage, description);
    this.words = words;
    this.isList = isList;
    this.#key = key;
  }

  override attributeName(): string {
    return this.#key;
  }
}

/** A flag that must be given: what it is for, and the words that it takes where only some fit. */
export class RequiredFlag extends ValueFlag {
  readonly meaning: string;

  constructor(usage: string, description: string, key: string, words: Words, choices: readonly string[]) {
    super(usage, description, key, words);
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

export function keysOf(schema: v.GenericSchema): ReadonlySet<string> {
  return new Set(entriesOf(schema as SchemaNode).keys());
}

/** Those of them that have no default and may not be left out. */
export function requiredKeys(schema: v.GenericSchema): ReadonlySet<string> {
  const entries = [...entriesOf(schema as SchemaNode)];
  return new Set(entries.flatMap(([key, alternatives]) => (alternatives.some(isOptional) ? [] : [key])));
}

function helpHint(command: Command): string {
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
  accepted.share &&= facts.percent !== false;
  const fallback = defaultOf(first);
  const onlyToggle = accepted.toggle && !accepted.text && accepted.number === undefined && accepted.choices.size === 0;
  const stem = onlyToggle && fallback === true ? flagName(key).replace("--", "--no-") : flagName(key);
  const flags = `${facts.short === undefined ? "" : `${facts.short}, `}${stem}`;
  const notes = [
    facts.meanings === undefined ? choicesNote(accepted) : "see below",
    onlyToggle || isNothing(fallback) ? "" : `default ${showDefault(fallback)}`,
  ];
  const note = notes.filter((text) => text !== "").join("; ");
  const meaning = stem.startsWith("--no-") ? (facts.negated ?? facts.description) : facts.description;
  const description =
    meaning.includes("(default") && note !== ""
      ? meaning.replace("(default", `(${note}; default`)
      : `${meaning}${note === "" ? "" : ` (${note})`}`.trim();
  if (onlyToggle) return inGroup(facts.group, new Option(flags, description));

  const value = facts.value ?? valueName(accepted);
  // A flag that may stand alone: --structured, or --structured 0.3.
  const usage = `${flags} ${accepted.toggle ? `[${value}]` : `<${value}>`}`;
  const choices = [...accepted.choices].map(String);
  const named = (facts.meanings?.rows ?? []).flatMap(([name]) => (/^[\w-]+$/.test(name) ? [name] : []));
  const fitting = [...choices, ...(accepted.list?.choices ?? [])].map(String);
  const words = { words: fitting.length > 0 ? fitting : named, isList: accepted.list !== undefined };
  const option = alternatives.some(isOptional)
    ? new ValueFlag(usage, description, key, words)
    : new RequiredFlag(usage, description, key, words, choices);
  option.argParser((text: string, before: unknown) => {
    if (facts.perLayer === true) return readOverride(text, before);
    if (facts.percent === true) requirePercent(flagName(key), text);
    const isAlone = accepted.number !== undefined && readNumber(text) !== undefined && before === undefined;
    if (accepted.list === undefined || isAlone) return readWord(flagName(key), text, accepted);
    const element = accepted.list;
    const words = text.split(",").map((word) => readWord(flagName(key), word.trim(), element));
    return before === undefined ? words : [before, words].flat();
  });
  return inGroup(facts.group, option);
}

/** `layer4*:bits=8,per-channel=false`: options of a layer, with those that were given before. */
function readOverride(text: string, before: unknown): Record<string, object> {
  const [, pattern = "", settings = ""] = /^(.+):([^:=]+=.*)$/.exec(text) ?? [];
  if (pattern === "")
    throw new PithError("E_OPTION", `--override: expected layer:option=value, got "${text}".`, {
      hint: "For instance --override 'layer4*:bits=8'.",
    });
  const given = settings.split(",").map((setting) => {
    const [, name = setting, value = ""] = /^([^=]+)=(.*)$/.exec(setting) ?? [];
    const key = name.trim().replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const word = value.trim();
    return [key, readNumber(word) ?? (word === "true" ? true : word === "false" ? false : word)];
  });
  const known: Record<string, object> = typeof before === "object" ? { ...before } : {};
  return { ...known, [pattern]: { ...known[pattern], ...Object.fromEntries(given) } };
}

function inGroup(group: string | undefined, option: Option): Option {
  return group === undefined ? option : option.helpGroup(group);
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

function isNothing(fallback: unknown): boolean {
  return fallback === undefined || fallback === false || (Array.isArray(fallback) && fallback.length === 0);
}

function showDefault(value: unknown): string {
  if (Array.isArray(value) && value.every(isWord)) return value.join(",");
  return isWord(value) ? String(value) : JSON.stringify(value);
}
