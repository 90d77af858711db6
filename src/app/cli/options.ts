/** Converts between option schemas and flags. Only given flags are passed on, so the schema's defaults apply. */
import { type Command, Option } from "commander";
import * as v from "valibot";
import { capitalize, PithError } from "../../core/errors.ts";
import { inWords, misfitOf } from "../../core/pass/option-errors.ts";
import type { FlagMetadata, Meanings } from "../../core/pass/options.ts";
import { entriesAt, type SchemaNode } from "../../core/pass/schema.ts";
import {
  acceptedBy,
  choicesNote,
  isExpressible,
  isWord,
  pipeOf,
  readNumber,
  readWord,
  requirePercent,
  valueName,
} from "./flag-values.ts";
import { asFlags, flagName } from "./invalid-options.ts";

/** Adds a flag for each entry of an object schema (or of all members of a union), except those in `without`. */
export function addFlags(command: Command, schema: v.GenericSchema, without: ReadonlySet<string> = new Set()): void {
  for (const [key, alternatives] of entriesAt(schema)) {
    if (without.has(key)) continue;
    const option = flagOf(key, alternatives);
    if (option === undefined) continue;
    option.description = asFlags(option.description, keysOf(schema));
    command.addOption(option);
  }
}

export function meaningsOf(schema: v.GenericSchema): readonly Meanings[] {
  const entries = [...entriesAt(schema).values()];
  return entries.flatMap(([first]) => (first === undefined ? [] : (factsOf(first).meanings ?? [])));
}

export function givenFlags(command: Command, schema: v.GenericSchema): Record<string, unknown> {
  const known = entriesAt(schema);
  const given: Record<string, unknown> = {};
  for (const option of command.options) {
    const key = option.attributeName();
    const value: unknown = command.getOptionValue(key);
    if (value !== undefined && known.has(key)) given[key] = value;
  }
  return given;
}

/** @throws PithError E_OPTION naming the flag that does not fit. */
export function readFlags<S extends v.GenericSchema>(command: Command, schema: S): v.InferOutput<S> {
  return fitting(schema, givenFlags(command, schema), helpHint(command));
}

/** @throws PithError E_OPTION in the words of flags. */
export function fitting<S extends v.GenericSchema>(schema: S, options: unknown, hint: string): v.InferOutput<S> {
  const result = v.safeParse(schema, options, inWords);
  if (result.success) return result.output;
  const keys = keysOf(schema);
  const { path, sentence, hint: own } = misfitOf(schema, result.issues, { owner: "" });
  const [key, ...inside] = path.map(String);
  // A constraint on several options names them without dashes.
  const named =
    key === undefined ? sentence.replace(/\w+/g, (word) => (keys.has(word) ? flagName(word) : word)) : sentence;
  const said = [...inside, asFlags(named, keys)].join(": ");
  const place =
    key === undefined ? capitalize(said) : `${flagName(key)}${/^(is|takes) /.test(said) ? "" : ":"} ${said}`;
  throw new PithError("E_OPTION", `${place}.`, { hint: own ?? hint });
}

interface Words {
  readonly words: readonly string[];
  readonly isList: boolean;
}

/** Stores its value under the name of the option. */
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

export class RequiredFlag extends ValueFlag {
  readonly meaning: string;

  constructor(usage: string, description: string, key: string, words: Words, choices: readonly string[]) {
    super(usage, description, key, words);
    this.meaning =
      choices.length === 0 ? description : new Intl.ListFormat("en", { type: "disjunction" }).format(choices);
    this.makeOptionMandatory();
  }
}

/** Separates words that are not values of an optional-value flag: `--structured model.onnx` → `--structured=true model.onnx`. */
export function settleFlags(command: Command, words: readonly string[]): string[] {
  const settled: string[] = [];
  const end = words.indexOf("--");
  for (let index = 0; index < words.length; index++) {
    const [word = "", next] = words.slice(index);
    const flag = end >= 0 && index > end ? undefined : aloneFlag(command, word);
    if (flag === undefined || next === undefined) settled.push(word);
    else if (readNumber(next) !== undefined) settled.push(`${flag.long}=${words[++index]}`);
    else settled.push(misfit(flag, next) === undefined ? word : `${flag.long}=true`);
  }
  return settled;
}

/** Returns why an excess word is not the value of the optional-value flag before it. */
export function strayWord(command: Command, words: readonly string[]): unknown {
  for (const [index, word] of words.entries()) {
    const [flag, next] = [aloneFlag(command, word), words[index + 1]];
    const refused = flag && next !== undefined && !next.startsWith("-") ? misfit(flag, next) : undefined;
    if (refused !== undefined) return refused;
  }
  return undefined;
}

function aloneFlag(command: Command, word: string): Option | undefined {
  return command.options.find(({ optional, long, short }) => optional && (word === long || word === short));
}

function misfit({ parseArg }: Option, word: string): unknown {
  try {
    parseArg?.(word, undefined);
    return undefined;
  } catch (error) {
    return error;
  }
}

export function keysOf(schema: v.GenericSchema): ReadonlySet<string> {
  return new Set(entriesAt(schema).keys());
}

export function requiredKeys(schema: v.GenericSchema): ReadonlySet<string> {
  const entries = [...entriesAt(schema)];
  return new Set(entries.flatMap(([key, alternatives]) => (alternatives.some(isOptional) ? [] : [key])));
}

function helpHint(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return `See ${names.join(" ")} --help.`;
}

function flagOf(key: string, alternatives: readonly SchemaNode[]): Option | undefined {
  const [first] = alternatives;
  const all = acceptedBy(alternatives);
  if (first === undefined || !isExpressible(all)) return undefined;

  const facts = factsOf(first);
  const accepted = { ...all, share: all.share && facts.percent !== false };
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
  // The value is optional: --structured, or --structured 0.3.
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
    if (accepted.list === undefined || isAlone) return readWord(flagName(key), text, accepted, facts.instead);
    const element = accepted.list;
    const words = text.split(",").map((word) => readWord(flagName(key), word.trim(), element, facts.instead));
    return before === undefined ? words : [before, words].flat();
  });
  return inGroup(facts.group, option);
}

/** Parses `layer4*:bits=8,per-channel=false` and merges it with earlier overrides. */
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

function layersOf(schema: SchemaNode): readonly SchemaNode[] {
  return [schema, ...(schema.wrapped === undefined ? [] : layersOf(schema.wrapped))];
}

/** Merges description and metadata; the outermost schema wins. */
function factsOf(schema: SchemaNode): FlagMetadata & { readonly description: string } {
  const items = layersOf(schema).flatMap(pipeOf).toReversed();
  return Object.assign(
    { description: "" },
    ...items.map(({ description, metadata }) => ({
      ...metadata,
      ...(description === undefined ? {} : { description }),
    })),
  );
}

function isOptional({ type }: SchemaNode): boolean {
  return /^(optional|exact_optional|nullish|undefinedable)$/.test(type);
}

function defaultOf(schema: SchemaNode): unknown {
  const given = layersOf(schema).find((node) => node.default !== undefined)?.default;
  return typeof given === "function" ? given() : given;
}

function isNothing(fallback: unknown): boolean {
  return fallback === undefined || fallback === false || (Array.isArray(fallback) && fallback.length === 0);
}

function showDefault(value: unknown): string {
  if (Array.isArray(value) && value.every(isWord)) return value.join(",");
  return isWord(value) ? String(value) : JSON.stringify(value);
}
