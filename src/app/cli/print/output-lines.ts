/** Prints what comparisons of outputs show. */
import { counted, figureText } from "#ir";
import type { Likeness } from "../../../judge/compare/compare-function.ts";
import type { ComparedResult } from "../../../judge/record/run-record.ts";
import {
  agreementLegend,
  comparedCount,
  decibelsLegend,
  divergenceLegend,
  othersSentence,
  outputDifferenceText,
  targetLines,
} from "../../../judge/record/verdict.ts";
import { missingOperatorsNote } from "../../report/samples.ts";

/** Legends by a word of the texts that they explain. */
const legends = { agreement: agreementLegend, "KL divergence": divergenceLegend, " dB": decibelsLegend };

/** Returns the lines, and the legends of the texts. @param above texts above the lines. */
export function outputLines(
  { likeness, others, targets = [] }: ComparedResult,
  above: readonly string[],
  dim: (text: string) => string,
): readonly string[] {
  const lines = [
    ...(shouldPrint(likeness) ? [similarityLine(likeness)] : []),
    ...(shouldPrint(others) ? [othersSentence(others)] : []),
    ...(targets.length > 0 ? targetLines(targets) : []),
  ];
  // The lines grade their decibels.
  const words = [...above, ...lines.map((line) => line.replaceAll(" dB", ""))].join("\n");
  return [...lines, ...Object.entries(legends).flatMap(([word, text]) => (words.includes(word) ? [dim(text)] : []))];
}

function shouldPrint(likeness: Likeness | string | undefined): likeness is Likeness | string {
  return typeof likeness === "object" ? likeness.lost === undefined : likeness !== undefined;
}

function similarityLine(likeness: Likeness | string): string {
  if (typeof likeness === "string") return `not compared with the original: ${likeness}`;
  const {
    samples,
    countsPositions,
    relativeError,
    unmoved,
    without = [],
    output,
    outputs = 1,
    uncompared = [],
    ofData,
    filled,
    leftOut,
    inputs,
    cache,
  } = likeness;
  const distance = outputDifferenceText(likeness);
  const outcome =
    relativeError === 0 ? "equal" : outputs > 1 ? `${distance} ("${output}", the worst of ${outputs})` : distance;
  const outputsText = output === undefined || outputs > 1 ? "outputs" : `output "${output}"`;
  const uncomparedText =
    uncompared.length === 0 ? "" : `; not compared: ${uncompared.map((name) => `"${name}"`).join(", ")}`;
  const ofRandom =
    countsPositions === true ? `${comparedCount(likeness)} of random texts` : counted(samples, "random input");
  const count = inputs ?? (ofData ? comparedCount(likeness) : ofRandom);
  const cacheText = cache === undefined || relativeError === 0 ? "" : `; its cache: ${figureText("dB", cache)}`;
  const advice = ofData ? "" : "; use --data for a better test";
  const unmovedText =
    unmoved === undefined ? "" : `; ${unmovedNote[unmoved]} for all of them: this is weak evidence${advice}`;
  const filledText =
    filled === undefined ? "" : `; ${counted(filled, "value")} set by masks (such as −1e4 and −∞) left out`;
  const leftOutText =
    leftOut === undefined ? "" : `; ${counted(leftOut, "other")} left out, on which the original is not finite`;
  return `${outputsText}: ${outcome}, on ${count}${cacheText}${leftOutText}${filledText}${unmovedText}${uncomparedText}${missingOperatorsNote(without)}`;
}

const unmovedNote = {
  equal: "the model's output is the same",
  "nearly equal": "the model's output is nearly the same",
  "one class": "the original predicts one class",
} as const;
