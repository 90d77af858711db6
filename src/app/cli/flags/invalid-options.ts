import { PithError } from "#ir";

/** Returns the flag of an option: `learningRate` → `--learning-rate`. `overrides` → `--override`, because the flag can be repeated. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Returns an error in which option names are flags, without advice about options that the command does not have. */
export function rewordForCommand({ code, message, advice, cause }: PithError, flags: ReadonlySet<string>): PithError {
  const options = optionNamesOf(flags);
  const isPossible = (part: string): boolean =>
    [...part.matchAll(quotedOption)].every(([, word = ""]) => options.has(word) || !sharedOptions.includes(word));
  const hint = advice.filter(isPossible).map((part) => asFlags(part, options));
  return new PithError(code, rewordOptionNames(message, flags), { hint, cause });
}

/** Matches an option in a message: `` `metric` `` or `` `metric: "psnr"` ``. */
const quotedOption = /`(\w+)(?:: ([\w.]+|"[^"`]*"))?`/g;

/** Replaces `` `metric` `` by --metric, and `` `metric: "psnr"` `` by --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(quotedOption, (match, word: string, value?: string) => {
    if (!keys.has(word)) return match;
    if (value === "false") return flagName(`no-${word}`);
    const argument = value?.includes(" ") === true ? value : value?.replaceAll('"', "");
    return argument === undefined ? flagName(word) : `${flagName(word)} ${argument}`;
  });
}

/** Names of options that several commands have and that messages of the library mention. */
const sharedOptions = [
  "batch",
  "batchStatistics",
  "data",
  "dim",
  "fix",
  "force",
  "loss",
  "metric",
  "original",
  "output",
  "overrides",
  "part",
  "preprocess",
  "samples",
  "set",
  "states",
  "validation",
];

export function rewordOptionNames(text: string, flags: ReadonlySet<string> = new Set()): string {
  return asFlags(text, new Set([...sharedOptions, ...optionNamesOf(flags)]));
}

function optionNamesOf(flags: ReadonlySet<string>): ReadonlySet<string> {
  const names = [...flags].map((flag) => flag.slice(2).replace(/^no-/, ""));
  return new Set(names.map((name) => name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase())));
}
