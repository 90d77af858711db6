/** How what does not fit is said on the command line: options are called there by their flags. */
import { PithError } from "../errors.ts";

/** `learningRate` as `--learning-rate`; what is given one by one is called by one: `overrides` as `--override`. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * An error in the words of the command line: what the library calls `` `learningRate` `` is --learning-rate, `` `perChannel: false` ``
 * --no-per-channel. Parts of its advice about options that the command does not have are left out.
 */
export function ownAdvice({ code, message, advice, cause }: PithError, flags: ReadonlySet<string>): PithError {
  const own = optionsOf(flags);
  const isOwn = (part: string): boolean =>
    [...part.matchAll(called)].every(([, word = ""]) => own.has(word) || !shared.includes(word));
  const hint = advice.filter(isOwn).map((part) => asFlags(part, own));
  return new PithError(code, onCommandLine(message, flags), { hint, cause });
}

/** `` `metric` ``, `` `metric: "psnr"` `` */
const called = /`(\w+)(?:: (\w+|"[^"`]*"))?`/g;

/** Text in which options are called as in code, by flags: `` `metric` `` as --metric, `` `metric: "psnr"` `` as --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(called, (whole, word: string, value?: string) => {
    if (!keys.has(word)) return whole;
    if (value === "false") return flagName(`no-${word}`);
    const given = value?.includes(" ") === true ? value : value?.replaceAll('"', "");
    return given === undefined ? flagName(word) : `${flagName(word)} ${given}`;
  });
}

/** Options of which the library speaks to several commands. */
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

/** "--no-per-channel" is the option `perChannel`. */
function optionsOf(flags: ReadonlySet<string>): ReadonlySet<string> {
  const names = [...flags].map((flag) => flag.slice(2).replace(/^no-/, ""));
  return new Set(names.map((name) => name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase())));
}
