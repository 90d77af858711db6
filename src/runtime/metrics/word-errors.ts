/** Word error rate of transcripts: (substitutions + deletions + insertions) / words of the reference. */
import type { Batch } from "#ir";
import type { Metric } from "./metric.ts";

/** Name of the column with transcripts, of the model and as labels. */
export const transcriptColumn = "transcript";

/** @param truth whether transcripts are compared with labels or with the original's transcripts. */
export function wordErrorRate(truth: NonNullable<Metric["truth"]>): Metric {
  return {
    name: truth === "labels" ? "word error rate" : "word error rate against the original",
    unit: "share",
    better: "lower",
    truth,
    columns: 2,
    countsTrials: true,
    rows(outputs, reference) {
      const transcripts = textsOf(outputs);
      const rows = textsOf(reference).map((text, sample) => countErrors(wordsOf(text), wordsOf(transcripts[sample])));
      return Float64Array.from(rows.flat());
    },
    reduce(rows) {
      let [errors, words] = [0, 0];
      for (let index = 0; index < rows.length; index += 2) {
        errors += rows[index] ?? 0;
        words += rows[index + 1] ?? 0;
      }
      return errors / Math.max(1, words);
    },
  };
}

const textsOf = ({ [transcriptColumn]: texts }: Batch): readonly string[] =>
  texts?.type === "string" ? texts.data : [];

const wordsOf = (text = ""): readonly string[] =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/’/g, "'")
    .match(/[\p{L}\p{M}\p{N}']+/gu) ?? [];

function countErrors(reference: readonly string[], words: readonly string[]): readonly [errors: number, words: number] {
  let distances = Array.from({ length: words.length + 1 }, (_, index) => index);
  for (const [row, expected] of reference.entries()) {
    const next = [row + 1];
    for (const [index, word] of words.entries()) {
      const substitutionCost = (distances[index] ?? 0) + Number(word !== expected);
      next.push(Math.min(substitutionCost, (distances[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1));
    }
    distances = next;
  }
  return [distances.at(-1) ?? 0, reference.length];
}
