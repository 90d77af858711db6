/** Flags that give names values: `--set input=value`, what inputs of a model always are, and sizes of named dimensions. */
import { PithError } from "../errors.ts";
import type { Settings } from "../task/index.ts";

/**
 * The words of the flag, a word without a name going on with the numbers of the one before: flags are split at commas.
 * @throws PithError E_OPTION for a word that is no assignment of numbers.
 */
export function settings(words: readonly string[]): Settings {
  const joined: string[] = [];
  for (const word of words) {
    const before = joined.at(-1);
    if (before === undefined || word.includes("=")) joined.push(word);
    else joined[joined.length - 1] = `${before},${word}`;
  }
  return Object.fromEntries(joined.map(setting));
}

/** `sr=16000`, `mask=1,0,1`, `use_cache=true` */
function setting(word: string): [name: string, given: number | number[]] {
  const [, name, given] = /^([^=]+)=(.+)$/s.exec(word) ?? [];
  const numbers = given
    ?.split(/[,;]/)
    .map((part) => (part === "true" ? 1 : part === "false" ? 0 : Number(part.trim() || "none")));
  if (name === undefined || numbers === undefined || !numbers.every(Number.isFinite))
    throw new PithError("E_OPTION", `--set: expected input=number, got "${word}".`);
  const [only = 0] = numbers;
  return [name, numbers.length === 1 ? only : numbers];
}

/** `batch=8` as a name and a size. @throws PithError E_OPTION, with the flag that was wrong. */
export function namedSizes(words: readonly string[], flag = "--dim"): ReadonlyMap<string, number> {
  return new Map(
    words.map((word) => {
      const [, name, digits] = /^(.+)=(\d+)$/.exec(word) ?? [];
      if (name === undefined || Number(digits) < 1)
        throw new PithError("E_OPTION", `${flag}: expected name=size, got "${word}".`);
      return [name, Number(digits)];
    }),
  );
}
