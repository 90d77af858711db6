/** Texts. They are stored here: what laws feed are numbers. */
import { type Example, table } from "./define.examples.ts";

const words = 'x: string[2, 2] = ["a", "b c", "", "B"]';
const row = 'x: string[3] = ["Monday", "tuesday", "monday"]';
const grams = 'mode="TF", min_gram_length=1, max_gram_length=2, max_skip_count=1, ngram_counts=[0, 3]';
const pool = "ngram_indexes=[0, 1, 2, 4], pool_int64s=[2, 3, 5, 2, 3]";

export const stringExamples: readonly Example[] = [
  ...table()`
    StringConcat of equal shapes | () ${words}; z: string[2, 2] = ["1", "2", "3", "4"]; y = StringConcat(x, z)
    StringConcat broadcasting | () ${words}; z: string[1] = ["!"]; y = StringConcat(x, z)
    StringConcat of scalars | () x: string[] = "a"; z: string[] = "b"; y = StringConcat(x, z)
    StringNormalizer to upper case | () ${row}; y = StringNormalizer(x) {case_change_action="UPPER", locale="C"}
    StringNormalizer without some words | opset 10 () ${row}; y = StringNormalizer(x) {is_case_sensitive=1, stopwords=["monday"]}
      | except types: how many words are left is not known before the run
    StringNormalizer of a row without some words |
      () x: string[1, 2] = ["a", "b"]; y = StringNormalizer(x) {locale="C", stopwords=["A"]}
      | except types: how many words are left is not known before the run
    RegexFullMatch | () ${words}; y = RegexFullMatch(x) {pattern="[a-z]"}
    RegexFullMatch of a scalar | () x: string[] = "a@b.c"; y = RegexFullMatch(x) {pattern=".+@.+"}
    RegexFullMatch of nothing | () x: string[0] = []; y = RegexFullMatch(x) {pattern="a"}
    TfIdfVectorizer of numbers |
      (x: int64[batch, 6]) y = TfIdfVectorizer(x) {${grams}, ${pool}} | feeds x: 1, 2, 3, 5, 2, 3, 0, 2, 0, 3, 0, 5
    TfIdfVectorizer of one row | opset 9 (x: int32[5]) y = TfIdfVectorizer(x) {${grams}, ${pool}}
    TfIdfVectorizer of words, weighted |
      () ${row}; y = TfIdfVectorizer(x)
      {mode="TFIDF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1], pool_strings=["monday", "tuesday"], weights=[2.0, 3.0]}
  `,
  ...["", ' {delimiter="b"}', ' {delimiter=" ", maxsplit=1}'].flatMap(
    (attributes) => table()`
    StringSplit${attributes} |
      () ${words}; y, n = StringSplit(x)${attributes} | except types: how many parts there are is not known before the run
  `,
  ),
];
