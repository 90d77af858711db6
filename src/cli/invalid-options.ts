/** How what does not fit is said on the command line: options are called there by their flags. */
import type * as v from "valibot";
import { capitalized, PithError } from "../errors.ts";
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

/** An error of a pass with these options: what it calls `` `learningRate` `` is --learning-rate here, `` `perChannel: false` `` --no-per-channel. */
export function inFlags(error: PithError, options: ReadonlySet<string>): PithError {
  // Options of every command, which passes know by these names.
  const keys = new Set([...options, "seed"]);
  const hint = error.hint === undefined ? {} : { hint: asFlags(error.hint, keys) };
  return new PithError(error.code, asFlags(error.message, keys), { ...hint, cause: error.cause });
}

/**
 * An error in the words of the command line, whose hint is left without sentences about flags that the command does not have: what several
 * commands share is hinted at in the words of one. A sentence that names its command ("pith eval --against") stays.
 */
export function ownAdvice(given: PithError, flags: ReadonlySet<string>): PithError {
  const error = inFlags(given, shared);
  const { code, message, hint, cause } = error;
  if (hint === undefined) return error;
  const isOwn = (sentence: string): boolean =>
    sentence.includes("pith ") || (sentence.match(/--[a-z][a-z-]*/g) ?? []).every((flag) => flags.has(flag));
  const sentences = hint.split(/(?<=\.) (?=[A-Z-])/);
  const own = sentences.filter(isOwn);
  if (own.length === sentences.length) return error;
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

/** Options of data and metrics, which the library's sentences call as in code. */
const shared = new Set([
  "against",
  "batch",
  "metric",
  "output",
  "preprocess",
  "samples",
  "set",
  "states",
  "validation",
]);

/** What the library says of data and metrics, in the words of the command line. */
export function onCommandLine(text: string): string {
  return asFlags(text, shared);
}

const bounds = new Map([
  ["min_value", "at least"],
  ["max_value", "at most"],
  ["gt_value", "more than"],
  ["lt_value", "less than"],
]);

/** What a check says: of several options together by the names of their flags, and of a bound in words. */
function sentenceOf(issue: v.BaseIssue<unknown>, keys: ReadonlySet<string>): string {
  const { type, message, requirement, received, path } = issue;
  if ((type === "check" && path === undefined) || type === "raw_check")
    return message.replace(/\w+/g, (word) => (keys.has(word) ? flagName(word) : word));
  if (!message.startsWith("Invalid ")) return message;
  const bound = bounds.get(type);
  if (bound !== undefined) return `expected ${bound} ${String(requirement)}, got ${received}`;
  if (type === "integer") return `expected an integer, got ${message.slice(message.lastIndexOf(" ") + 1)}`;
  if (type === "non_empty") return "expected at least one";
  return message;
}
