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

/** E_OPTION for what a schema with these keys finds wrong. */
export function refusal(issue: v.BaseIssue<unknown>, keys: ReadonlySet<string>, hint: string): PithError {
  const key = issue.path?.[0]?.key;
  const said = asFlags(sentenceOf(issue, keys), keys).replace(/\.$/, "");
  const place =
    typeof key === "string" ? `${flagName(key)}${/^(is|takes) /.test(said) ? "" : ":"} ${said}` : capitalized(said);
  return new PithError("E_OPTION", `${place}.`, { hint: hintOf(issue) ?? hint });
}

/**
 * An error in the words of the command line: what the library calls `` `learningRate` `` is --learning-rate, `` `perChannel: false` ``
 * --no-per-channel. Sentences of the hint about flags that the command does not have are left out, but not those that name a command
 * ("pith eval --against").
 */
export function ownAdvice(
  { code, message: said, hint: advice, cause }: PithError,
  flags: ReadonlySet<string>,
): PithError {
  const message = onCommandLine(said, flags);
  if (advice === undefined) return new PithError(code, message, { cause });
  const hint = onCommandLine(advice, flags);
  const isOwn = (sentence: string): boolean =>
    sentence.includes("pith ") || (sentence.match(/--[a-z][a-z-]*/g) ?? []).every((flag) => flags.has(flag));
  const sentences = hint.split(/(?<=\.) (?=[A-Z-])/);
  const own = sentences.filter(isOwn);
  return new PithError(code, message, { ...(own.length === 0 ? {} : { hint: own.join(" ") }), cause });
}

/** Text in which options are called as in code, by flags: `` `metric` `` as --metric, `` `metric: "psnr"` `` as --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(/`(\w+)(?:: (\w+|"[^"`]*"))?`/g, (whole, word: string, value?: string) => {
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
  "data",
  "dim",
  "fix",
  "force",
  "metric",
  "output",
  "preprocess",
  "samples",
  "set",
  "states",
  "validation",
];

/** What the library says, in the words of a command with these flags. */
export function onCommandLine(text: string, flags: ReadonlySet<string> = new Set()): string {
  const own = [...flags].map((flag) =>
    flag
      .slice(2)
      .replace(/^no-/, "")
      .replace(/-([a-z])/g, (_, letter) => letter.toUpperCase()),
  );
  return asFlags(text, new Set([...shared, ...own]));
}

/** How schemas are asked on the command line: what is expected, and what was given. */
export const withGiven = {
  message: (issue: v.BaseIssue<unknown>): string => `${inWords.message(issue)}, got ${issue.received}`,
};

/** What a check says: of several options together by the names of their flags. */
function sentenceOf({ type, message, path }: v.BaseIssue<unknown>, keys: ReadonlySet<string>): string {
  const isOfSeveral = (type === "check" && path === undefined) || type === "raw_check";
  return isOfSeveral ? message.replace(/\w+/g, (word) => (keys.has(word) ? flagName(word) : word)) : message;
}
