/** How what does not fit is said on the command line: options are called there by their flags. */
import type * as v from "valibot";
import { capitalized, PithError } from "../errors.ts";
import { inWords } from "../passes/option-errors.ts";
import { hintOf } from "../passes/options.ts";

/** `learningRate` as `--learning-rate`; what is given one by one is called by one: `overrides` as `--override`. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function refusal(issue: v.BaseIssue<unknown>, keys: ReadonlySet<string>, hint: string): PithError {
  const key = issue.path?.[0]?.key;
  const said = asFlags(sentenceOf(issue, keys), keys).replace(/\.$/, "");
  const place =
    typeof key === "string" ? `${flagName(key)}${/^(is|takes) /.test(said) ? "" : ":"} ${said}` : capitalized(said);
  return new PithError("E_OPTION", `${place}.`, { hint: hintOf(issue) ?? hint });
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

export const withGiven = {
  message: (issue: v.BaseIssue<unknown>): string => `${inWords.message(issue)}, got ${issue.received}`,
};

/** What a check says: of several options together by the names of their flags. */
function sentenceOf({ type, message, path }: v.BaseIssue<unknown>, keys: ReadonlySet<string>): string {
  const isOfSeveral = (type === "check" && path === undefined) || type === "raw_check";
  return isOfSeveral ? message.replace(/\w+/g, (word) => (keys.has(word) ? flagName(word) : word)) : message;
}
