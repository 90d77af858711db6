import { PithError } from "../../../core/errors.ts";

/** `learningRate` → `--learning-rate`; `overrides`, which is given one by one → `--override`. */
export function flagName(key: string): string {
  if (key === "overrides") return "--override";
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Rewords option names as flags, and drops advice about options that the command does not have. */
export function ownAdvice({ code, message, advice, cause }: PithError, flags: ReadonlySet<string>): PithError {
  const own = optionsOf(flags);
  const isOwn = (part: string): boolean =>
    [...part.matchAll(called)].every(([, word = ""]) => own.has(word) || !shared.includes(word));
  const hint = advice.filter(isOwn).map((part) => asFlags(part, own));
  return new PithError(code, onCommandLine(message, flags), { hint, cause });
}

const called = /`(\w+)(?:: ([\w.]+|"[^"`]*"))?`/g;

/** Replaces `` `metric` `` by --metric and `` `metric: "psnr"` `` by --metric psnr. */
export function asFlags(text: string, keys: ReadonlySet<string>): string {
  return text.replace(called, (whole, word: string, value?: string) => {
    if (!keys.has(word)) return whole;
    if (value === "false") return flagName(`no-${word}`);
    const given = value?.includes(" ") === true ? value : value?.replaceAll('"', "");
    return given === undefined ? flagName(word) : `${flagName(word)} ${given}`;
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
