/** One term for each idea, in guides, help, messages and the studio: other words for the same idea, each with the term to write. */

const avoidedWords: readonly (readonly [RegExp, string])[] = [
  [/\bsparing(?!ly)|\bspare(?:s|d)? layers?\b|\blayers? (?:is|are) spared\b/i, "precise layers, precision fallback"],
  [/\bmilder (?:form|dtype|format)s?\b/i, "format of higher precision"],
  [/\bthinner layers?\b|\bthinner ones\b/i, "low-rank layers"],
  [/\bsingle weights?\b/i, "individual weights"],
  [/\bcontenders?\b/i, "candidate"],
  [/\bcombinations (?:were|are|was) (?:tried|compared|judged|evaluated)\b/i, "candidate"],
  [/\bvariants? (?:was|were|is|are) (?:tried|compared|judged|rejected|kept)\b/i, "candidate"],
  [/\bbaseline (?:model|file)\b|\breference file\b/i, "original"],
  [/\bmeasured loss\b|\ba gain of\b|\bloss of [−-]/i, "change = result − original (gained, lost)"],
  [/\bnot shown to\b|\bunproven\b/i, "undecided"],
  [/\bis no (?:smaller|larger|faster|slower|better|worse)\b|\bare no (?:smaller|larger|faster)\b/i, "is not smaller"],
  [/\bthere (?:is|was) no result\b/i, "state what is missing, and why"],
  [/\bwhole commands?\b/i, "command"],
  [/\banew\b/i, "again, from scratch"],
  [/\bas (?:they|it) lies?\b/i, "in storage order"],
  [/\bso many\b/i, "the number"],
  [/\bas ever\b/i, "as before"],
  [/\b(?:is|are|was|were) (?:said|told)\b|\bunless (?:said|told)\b/i, "is printed, by default"],
  [/\bbut for\b/i, "except"],
  [/\bheld against\b|\bholds? against\b/i, "compared with"],
  [/\bby themselves\b|\bby itself\b/i, "alone, individually"],
  [/\bheal(?:s|ed|ing)?\b/i, "recover"],
  [/\btaught\b/i, "trained, distilled"],
  [/\blearnt\b/i, "learned"],
  [/\bmade good\b|\bmakes? good\b/i, "compensate"],
  [/\bmade-up\b/i, "synthetic"],
  [/\brefus(?:al|es?|ed|ing)\b/i, "reject, fail"],
  [/\bchance explains\b/i, "statistically significant"],
  [/\btaps\b/i, "kernel positions"],
  [/\bcodes of (?:a|the) (?:codebook|palette)\b/i, "indices"],
  [/\bbits by layer\b/i, "mixed precision"],
  [
    /\bcolour|\bneighbours?\b|\bbehaviour|\bcentre\b|\brecognise|\boptimis(?:e|ation)\b/i,
    "the spelling of the United States",
  ],
];

/** Returns a finding for each word of a text that the glossary replaces: `"sparing": write precise layers`. */
export function findAvoidedWords(text: string): readonly string[] {
  return avoidedWords.flatMap(([pattern, term]) => {
    const [word] = pattern.exec(text) ?? [];
    return word === undefined ? [] : [`"${word}": write ${term}`];
  });
}
