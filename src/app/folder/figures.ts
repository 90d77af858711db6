/** Collects what the record of a folder states about a model file: sizes, similarity to the original, and precise layers. */
import { counted } from "#ir";
import type { Likeness } from "../../judge/compare/compare-function.ts";
import { formatPreciseLayer } from "../../judge/fallback/precise-layers.ts";
import { outputDifferenceText } from "../../judge/record/verdict.ts";
import type { SingleStep } from "../../judge/run/single-step.ts";
import type { CompressedSize } from "../../runtime/run/model-size.ts";
import { dataLines } from "../report/samples.ts";
import { batchFigures, type Similarity, similarityFrom } from "./end-to-end.ts";
import { similarityText } from "./folder-table.ts";
import type { FileFigures } from "./records.ts";

export interface JudgedFile
  extends Partial<Pick<SingleStep, "comparison" | "likeness" | "targets" | "fallback" | "invariance">> {
  /** Sizes of the original, and of the file. */
  readonly before: { readonly brotli?: number | undefined; readonly sampled?: boolean | undefined };
  readonly after: Partial<CompressedSize> & { readonly bytes: number };
  readonly samples?: Parameters<typeof dataLines>[0] | undefined;
  readonly preprocessing?: string | undefined;
}

type SimilarityFigures = Pick<FileFigures, "measured" | "nearness" | "judgedOn">;

export function figuresFrom(file: JudgedFile): FileFigures {
  const { before, samples, preprocessing, comparison, likeness, targets = [], fallback, invariance } = file;
  const { bytes, gzip, brotli, sampled } = file.after;
  const nearness = comparison && similarityFrom(comparison);
  const similarity =
    nearness === undefined && typeof likeness === "object"
      ? similarityWithoutData(likeness)
      : similarityFigures(nearness, `not compared: ${likeness ?? "it was forced"}`);
  return {
    bytes,
    gzip,
    brotli,
    sampled,
    originalBrotli: before.brotli,
    originalSampled: before.sampled,
    ...similarity,
    ...(samples && { judgedOn: dataLines(samples, preprocessing) }),
    preciseLayers: fallback?.preciseLayers.map(formatPreciseLayer),
    // A "?" means that the outputs could not be checked.
    rightOn:
      targets.length === 0
        ? undefined
        : targets.map(({ target, right }) => `${target}${right === undefined ? "?" : ""}`),
    together: invariance && batchFigures(invariance),
  };
}

/** @param otherwise text if there is no similarity. */
export const similarityFigures = (nearness: Similarity | undefined, otherwise: string): SimilarityFigures =>
  nearness === undefined
    ? { measured: otherwise }
    : { nearness, measured: `${nearness.metric} ${similarityText(nearness)}` };

function similarityWithoutData(likeness: Likeness): SimilarityFigures {
  const { same, unmoved, signalToNoise, samples, inputs, language } = likeness;
  const hasDecibels = same === undefined && unmoved === undefined && Number.isFinite(signalToNoise);
  const nearness = { metric: "signal to noise", unit: "dB", value: signalToNoise } as const;
  const measured = outputDifferenceText(likeness);
  const judgedOn = [
    `Compared on ${inputs ?? counted(samples, "random input")}, without data: only a strong difference rejects a file.`,
  ];
  if (language === undefined) return { measured, judgedOn, ...(hasDecibels ? { nearness } : {}) };
  const { value, low, high, count, confidence } = language.agreement;
  const interval = { difference: value - 1, low: low - 1, high: high - 1, confidence };
  return { measured, judgedOn, nearness: { metric: "agreement", unit: "share", value, samples: count, ...interval } };
}
