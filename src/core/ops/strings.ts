/** Operators on strings, and TfIdfVectorizer, which counts n-grams. */
import { Miss } from "../errors.ts";
import { decimals, integer, integers, text, texts } from "./shared/attributes.ts";
import { inert } from "./shared/inert.ts";
import { broadcast, need, shaped } from "./shared/rules.ts";

const onStrings = new Miss("operates on strings");

export const StringConcat = inert(onStrings, {
  name: "StringConcat",
  infer: (_, site) => shaped(site, broadcast, "string", [0, 1]),
});

/** Changes case and removes words, so the output length depends on the data. */
export const StringNormalizer = inert(onStrings, {
  name: "StringNormalizer",
  read: (site) => ({
    stopWords: texts(site, "stopwords") ?? [],
    change: text(site, "case_change_action", "NONE"),
    sensitive: integer(site, "is_case_sensitive", 0) !== 0,
    locale: text(site, "locale", ""),
  }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined || s.stopWords.length === 0) return [{ type, dims }];
    const last = dims.length - 1;
    return [{ type, dims: dims.map((dim, axis) => (axis === last ? site.open(0, axis) : dim)) }];
  },
  unchanged: (s) => (s.stopWords.length === 0 && s.change === "NONE" ? 0 : undefined),
});

export const StringSplit = inert(onStrings, {
  name: "StringSplit",
  read: (site) => ({
    delimiter: text(site, "delimiter", ""),
    most: site.attribute("maxsplit") === undefined ? undefined : integer(site, "maxsplit", 0),
  }),
  infer: (_, site) => {
    const { dims } = need(site, 0);
    return [
      { type: "string", dims: dims === undefined ? dims : [...dims, site.open(0, dims.length)] },
      { type: "int64", dims },
    ];
  },
});

export const RegexFullMatch = inert(onStrings, {
  name: "RegexFullMatch",
  read: (site) => ({ pattern: text(site, "pattern", "") }),
  infer: (_, site) => [{ type: "bool", dims: need(site, 0).dims }],
});

export const TfIdfVectorizer = inert(new Miss("counts n-grams"), {
  name: "TfIdfVectorizer",
  read: (site) => ({
    mode: text(site, "mode", "TF"),
    lengths: [integer(site, "min_gram_length", 1), integer(site, "max_gram_length", 1)],
    skips: integer(site, "max_skip_count", 0),
    counts: integers(site, "ngram_counts") ?? [],
    places: integers(site, "ngram_indexes") ?? [],
    numbers: integers(site, "pool_int64s") ?? [],
    words: texts(site, "pool_strings") ?? [],
    weights: decimals(site, "weights") ?? [],
  }),
  infer: (s, site) => {
    const { dims } = need(site, 0);
    const columns = s.places.reduce((most, place) => Math.max(most, place + 1), 0);
    return [{ type: "float32", dims: dims === undefined ? dims : [...dims.slice(0, -1), columns] }];
  },
});
