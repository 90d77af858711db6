/**
 * Operators on strings, TfIdfVectorizer (counts n-grams), and operators of ai.onnx.ml that scikit-learn exporters write. All are for inference only.
 */
import { type DataType, type Dim, elementCount, Miss } from "#graph";
import type { Op, OpDef, Site } from "./define.ts";
import { readIntegers, readString, readStrings } from "./shared/attributes.ts";
import { defineInert } from "./shared/inert.ts";
import { broadcast, inferShape, requireInput } from "./shared/rules.ts";

const onStrings = new Miss("operates on strings");
const parametersInAttributes = new Miss("stores its parameters in attributes");
const keepDims = (dims: readonly Dim[]): readonly Dim[] => dims;

export const StringConcat = defineInert(onStrings, {
  name: "StringConcat",
  infer: (_, site) => inferShape(site, broadcast, "string", [0, 1]),
});

/** Changes case and removes stop words. With stop words, the output length depends on the data. */
export const StringNormalizer = defineInert(onStrings, {
  name: "StringNormalizer",
  read: (site) => ({
    stopWords: readStrings(site, "stopwords") ?? [],
    caseChange: readString(site, "case_change_action", "NONE"),
  }),
  infer: (s, site) =>
    inferShape(site, (dims) => (s.stopWords.length === 0 ? dims : dims.with(-1, site.open(0, dims.length - 1)))),
  unchanged: (s) => (s.stopWords.length === 0 && s.caseChange === "NONE" ? 0 : undefined),
});

export const StringSplit = defineInert(onStrings, {
  name: "StringSplit",
  infer: (_, site) => {
    const { dims } = requireInput(site, 0);
    return [
      { type: "string", dims: dims && [...dims, site.open(0, dims.length)] },
      { type: "int64", dims },
    ];
  },
});

export const RegexFullMatch = defineInert(onStrings, {
  name: "RegexFullMatch",
  infer: (_, site) => inferShape(site, keepDims, "bool"),
});

export const TfIdfVectorizer = defineInert(new Miss("counts n-grams"), {
  name: "TfIdfVectorizer",
  infer(_, site) {
    const columns = readIntegers(site, "ngram_indexes") ?? [];
    const count = columns.reduce((most, column) => Math.max(most, column + 1), 0);
    return inferShape(site, (dims) => [...dims.slice(0, -1), count], "float32");
  },
});

const definePreprocessing = (name: string, infer: OpDef<null>["infer"]): Op =>
  defineInert(parametersInAttributes, { name, domain: "ai.onnx.ml", infer });

const inferSameDims = (_: null, site: Site) => inferShape(site, keepDims);
/** Infers float32 with the input's dimensions, for Scaler and Normalizer. */
const inferFloats = (_: null, site: Site) => inferShape(site, keepDims, "float32");

const labelAttributes: readonly (readonly [attribute: string, type: DataType])[] = [
  ["values_int64s", "int64"],
  ["values_floats", "float32"],
  ["values_strings", "string"],
];

export const mlOperators: readonly Op[] = [
  definePreprocessing("Scaler", inferFloats),
  definePreprocessing("Normalizer", inferFloats),
  definePreprocessing("Binarizer", inferSameDims),
  definePreprocessing("Imputer", inferSameDims),
  definePreprocessing("LabelEncoder", (_, site) => {
    const [, listedType] = labelAttributes.find(([attribute]) => site.attribute(attribute) !== undefined) ?? [];
    const tensor = site.attribute("values_tensor");
    const type = tensor?.kind === "tensor" ? tensor.value.type : listedType;
    return type === undefined ? new Miss("has no labels") : inferShape(site, keepDims, type);
  }),
  // The indices are flattened: the output has one column per index.
  definePreprocessing("ArrayFeatureExtractor", (_, site) => {
    const pickedDims = (dims: readonly Dim[] = [], indices: readonly Dim[] = []) => [
      ...(dims.length === 1 ? [1] : dims.slice(0, -1)),
      elementCount(indices),
    ];
    return inferShape(site, pickedDims, undefined, [0, 1]);
  }),
];
