/** Parts of a data set that names tell: sst2_train.tsv and sst2_dev.tsv, wikitext.test.txt, train/ and val/. */
import type { Part } from "./types.ts";

const training = ["train", "training"];
/** In the order in which they are believed to be what results are judged by. */
const testing = ["test", "testing", "dev", "val", "valid", "validation", "eval"];

const pattern = new RegExp(`(^|[._-])(${[...training, ...testing].join("|")})(?=[._-]|$)`, "i");

export interface NamedPart {
  readonly part: Part;
  /** The name without the word: files of one family hold parts of one data set. */
  readonly family: string;
  /** How far from being the part itself: of "test" and "dev", "test" is. */
  readonly rank: number;
}

/** What the name of a file or folder says of parts; undefined where it says nothing. */
export function namedPart(name: string): NamedPart | undefined {
  const [, before = "", found] = pattern.exec(name) ?? [];
  if (found === undefined) return undefined;
  const word = found.toLowerCase();
  const family = name.replace(pattern, `${before}*`).toLowerCase();
  return training.includes(word)
    ? { part: "train", family, rank: training.indexOf(word) }
    : { part: "test", family, rank: testing.indexOf(word) };
}

/** Of some names, those of the parts of one family: the first that is believed of each. */
export function partsOf(names: readonly string[], family: string): { readonly [part in Part]?: string } {
  const best = (wanted: Part): string | undefined =>
    names
      .flatMap((name) => {
        const found = namedPart(name);
        return found?.family === family && found.part === wanted ? [{ name, rank: found.rank }] : [];
      })
      .sort((a, b) => a.rank - b.rank)[0]?.name;
  const [train, test] = [best("train"), best("test")];
  return { ...(train === undefined ? {} : { train }), ...(test === undefined ? {} : { test }) };
}
