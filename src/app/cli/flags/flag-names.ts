/** Converts names of options to flags, and names of passes to commands, also in messages of the library. */
import { isObject } from "#ir";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { passCommands } from "../pass-commands.ts";

/** Returns the flag of an option: `learningRate` → `--learning-rate`. `overrides` → `--override`, because the flag can be repeated. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** @param flags of the command. @param optionalKeys options that some commands lack. Others can be options of a recipe's steps. */
export function isPossibleAdvice(text: string, flags: readonly string[], optionalKeys: readonly string[]): boolean {
  const options = optionNamesOf(flags);
  const words = Array.from(text.matchAll(quotedOption), ([, word = ""]) => word);
  return words.every((word) => options.includes(word) || !optionalKeys.includes(word));
}

/** Matches an option in a message: `` `metric` `` or `` `metric: "psnr"` ``. */
const quotedOption = /`(\w+)(?:: ([\w.]+|"[^"`]*"))?`/g;

/** Replaces `` `metric` `` by --metric, and `` `metric: "psnr"` `` by --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(quotedOption, (match, word: string, value?: string) =>
    keys.has(word) ? asFlag(word, value) : match,
  );
}

function asFlag(key: string, value?: string): string {
  if (value === undefined || value === "false") return flagName(value === undefined ? key : `no-${key}`);
  const word = value.replace(/^"(.*)"$/s, "$1");
  // A name in a model or recipe must not become a command of the shell.
  const argument = /["$'\\;&|<>]/.test(word) ? quoteWord(word) : word.includes(" ") ? value : word;
  return `${flagName(key)} ${argument}`;
}

const passNames = [...Object.keys(passCommands), "simplify"].join("|");
/** Matches a pass in a message, alone or with an option: `` `simplify` `` or `` `simplify fix: "batch=1"` ``. */
const quotedPass = new RegExp(`\`(${passNames})(?: (\\w+)(?:: ([^\`]+))?)?\``, "g");

/** Replaces `` `simplify finalize` `` by `` `pith simplify --finalize` ``. */
const asCommands = (text: string): string =>
  text.replace(quotedPass, (_, name: string, key?: string, value?: string) =>
    key === undefined ? `\`pith ${name}\`` : `\`pith ${name} ${asFlag(key, value)}\``,
  );

/** Writes the names of options as flags, and those of passes as commands, in a text or data. @param flags of the command. */
export function withFlagNames<T>(value: T, flags: readonly string[]): T {
  const keys = new Set(optionNamesOf(flags));
  const replace = (part: unknown): unknown => {
    if (typeof part === "string") return asFlags(asCommands(part), keys);
    if (Array.isArray(part)) return part.map(replace);
    return isObject(part)
      ? Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, replace(inner)]))
      : part;
  };
  return replace(value) as T;
}

const optionNamesOf = (flags: readonly string[]): readonly string[] =>
  flags.map((flag) => {
    const name = flag.replace(/^--(no-)?/, "").replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
    return name === "override" ? "overrides" : name;
  });
