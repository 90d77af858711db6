/** Parses the words `name=value` of flags such as `--set` and `--dim`. */
import { optionError } from "#ir";
import type { Settings } from "../../../judge/task/constant-inputs.ts";

/** Parses the words of --set, which are split at commas. @throws PithError E_OPTION for a word without numbers. */
export function parseSettings(words: readonly string[]): Settings {
  const settings: string[] = [];
  for (const word of words) {
    const before = settings.at(-1);
    if (before === undefined || word.includes("=")) settings.push(word);
    else settings[settings.length - 1] = `${before},${word}`;
  }
  return Object.fromEntries(settings.map(parseSetting));
}

function parseSetting(word: string): [name: string, values: number | number[]] {
  const [, name, text] = /^([^=]+)=(.+)$/s.exec(word) ?? [];
  const numbers = text
    ?.split(/[,;]/)
    .map((part) => (part === "true" ? 1 : part === "false" ? 0 : Number(part.trim() || "none")));
  if (name === undefined || numbers === undefined || !numbers.every(Number.isFinite))
    throw optionError(`--set: expected input=number, got "${word}".`);
  const [firstNumber = 0] = numbers;
  return [name, numbers.length === 1 ? firstNumber : numbers];
}

/** Parses words such as `batch=8`. @throws PithError E_OPTION, which names the flag. */
export function parseNamedSizes(words: readonly string[], flag = "--dim"): ReadonlyMap<string, number> {
  return new Map(
    words.map((word) => {
      const [, name, digits] = /^(.+)=(\d+)$/.exec(word) ?? [];
      if (name === undefined || Number(digits) < 1) throw optionError(`${flag}: expected name=size, got "${word}".`);
      return [name, Number(digits)];
    }),
  );
}
