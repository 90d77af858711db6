import { PithError } from "../../../core/errors.ts";

/** `learningRate` → `--learning-rate`; `overrides`, which is given one by one → `--override`. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Rewords option names as flags, and drops advice about options that the command does not have. */
export function ownAdvice({ code, message, advice, cause }: PithError, flags: ReadonlySet<string>): PithError {
  const options = optionsOf(flags);
  const isPossible = (part: string): boolean =>
    [...part.matchAll(quotedOption)].every(([, word = ""]) => options.has(word) || !shared.includes(word));
  const hint = advice.filter(isPossible).map((part) => asFlags(part, options));
  return new PithError(code, onCommandLine(message, flags), { hint, cause });
}

/** `` `metric` `` or `` `metric: "psnr"` `` */
const quotedOption = /`(\w+)(?:: ([\w.]+|"[^"`]*"))?`/g;

/** Replaces `` `metric` `` by --metric and `` `metric: "psnr"` `` by --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(quotedOption, (match, word: string, value?: string) => {
    if (!keys.has(word)) return match;
    if (value === "false") return flagName(`no-${word}`);
    const argument = value?.includes(" ") === true ? value : value?.replaceAll('"', "");
    return argument === undefined ? flagName(word) : `${flagName(word)} ${argument}`;
  });
}

/** Options that several commands have and library messages mention. */
const shared = [
  "against",
  "batch",
  "batchStatistics",
  "data",
  "dim",
  "fix",
  "force",
  "loss",
  "metric",
  "output",
  "overrides",
  "part",
  "preprocess",
  "samples",
  "set",
  "states",
  "validation",
];

export function onCommandLine(text: string, flags: ReadonlySet<string> = new Set()): string {
  return asFlags(text, new Set([...shared, ...optionsOf(flags)]));
}

function optionsOf(flags: ReadonlySet<string>): ReadonlySet<string> {
  const names = [...flags].map((flag) => flag.slice(2).replace(/^no-/, ""));
  return new Set(names.map((name) => name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase())));
}
