/** Sizes of named dimensions, as flags give them. */
import { PithError } from "../errors.ts";

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
