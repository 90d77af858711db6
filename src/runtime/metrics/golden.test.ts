import { describe, expect, it } from "vitest";
import { type GoldenTensor, golden, goldenNumber, goldenNumbers } from "../../../test/shared.ts";
import { Miss } from "../../core/errors.ts";
import { mcnemarExact, pairedMeans, wilson } from "../../core/math/confidence-interval.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { type Box, intersectionOverUnion, matchBoxes } from "./boxes.ts";
import { accuracy, crossEntropy, macroF1, matthews, perplexity, topK } from "./class-metrics.ts";
import { agreement, meanKl, signalToNoise } from "./comparison-metrics.ts";
import { estimate } from "./evaluate.ts";
import type { Metric } from "./metric.ts";
import { pearson, ranks, spearman } from "./regression.ts";

interface Statistics {
  wilson: { successes: number; count: number; value: number; low: number; high: number }[];
  mcnemar_exact: { cases: { only_first_right: number; only_second_right: number; p_value: number }[] }[];
  paired_difference_of_means: {
    first: GoldenTensor;
    second: GoldenTensor;
    mean_difference: number;
    standard_error: number;
    t_low: number;
    t_high: number;
  }[];
  needed_samples: { rows: { disagree: number; margin: number; samples: number }[] }[];
  spearman: { x: number[]; y: number[]; ranks_x: number[]; spearman: number | null; pearson: number | null }[];
  perplexity: {
    logits: GoldenTensor;
    labels: GoldenTensor;
    mask: GoldenTensor;
    mean_nll_over_tokens: number;
    perplexity: number;
  }[];
  f1: {
    classes: number;
    labels: number[];
    predictions: number[];
    macro_f1: number;
    matthews: number;
    accuracy: number;
  }[];
  top_k: { scores: GoldenTensor; labels: number[]; top_1: number; top_3: number; top_5: number }[];
  boxes: {
    cases: {
      truth: Box[];
      truth_classes: number[];
      boxes: Box[];
      scores: number[];
      classes: number[];
      iou: number[][];
      at: { iou_threshold: number; match_of_box: (number | null)[] }[];
    }[];
  }[];
  signal_to_noise: {
    reference: GoldenTensor;
    other: GoldenTensor;
    sqnr_db: number | string;
    cosine: number;
    max_abs_error: number;
    relative_l2: number;
  }[];
  agreement: {
    original_logits: GoldenTensor;
    other_logits: GoldenTensor;
    kl_original_other_per_row: GoldenTensor;
    mean_kl: number;
    top_1_agreement: number;
  }[];
}

const statistics = golden<Statistics>("statistics");

function double(tensor: GoldenTensor): Dense {
  return { type: "float64", dims: tensor.shape, data: goldenNumbers(tensor) };
}

function labels(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Dense {
  return fromNumbers("int64", dims, values);
}

function expectNear(actual: number, expected: number, tolerance = 1e-12): void {
  if (Number.isFinite(expected))
    expect(Math.abs(actual - expected)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(expected)));
  else expect(actual).toBe(expected);
}

function figure(metric: Metric, outputs: Batch, truth: Batch): number {
  return metric.reduce(metric.rows(outputs, truth));
}

describe.skipIf(statistics === undefined)("figures equal scipy, statsmodels and scikit-learn", () => {
  const cases = statistics as Statistics;

  it("Wilson's interval", () => {
    for (const { successes, count, value, low, high } of cases.wilson) {
      const result = wilson(successes, count);
      expect([result.value, result.count]).toEqual([value, count]);
      expectNear(result.low, low);
      expectNear(result.high, high);
    }
  });

  it("McNemar's exact test", () => {
    for (const row of cases.mcnemar_exact.flatMap((group) => group.cases)) {
      expectNear(mcnemarExact(row.only_first_right, row.only_second_right), row.p_value);
    }
  });

  it("paired differences of means", () => {
    for (const row of cases.paired_difference_of_means) {
      const result = pairedMeans(goldenNumbers(row.first), goldenNumbers(row.second));
      expectNear(result.value, row.mean_difference);
      // The quantile of Student's t-distribution is approximated by a series.
      expectNear(result.low, row.t_low, 1e-3 * row.standard_error);
      expectNear(result.high, row.t_high, 1e-3 * row.standard_error);
    }
  });

  it("ranks and correlations", () => {
    for (const row of cases.spearman) {
      expect(Array.from(ranks(row.x))).toEqual(row.ranks_x);
      for (const [result, expected] of [
        [spearman(row.x, row.y), row.spearman],
        [pearson(row.x, row.y), row.pearson],
      ] as const) {
        if (expected === null) expect(result).toBeInstanceOf(Miss);
        else expectNear(result as number, expected);
      }
    }
  });

  it("perplexity, with masked labels left out", () => {
    for (const row of cases.perplexity) {
      const mask = goldenNumbers(row.mask);
      const counted = goldenNumbers(row.labels).map((label, index) => (mask[index] === 1 ? label : -100));
      const batch = { label: labels(counted, row.labels.shape) };
      expectNear(figure(perplexity(), { logits: double(row.logits) }, batch), row.perplexity);
      const rows = perplexity().rows({ logits: double(row.logits) }, batch);
      const nats = rows.filter((_, index) => index % 2 === 0).reduce((sum, value) => sum + value, 0);
      expectNear(
        nats / rows.filter((_, index) => index % 2 === 1).reduce((sum, value) => sum + value, 0),
        row.mean_nll_over_tokens,
      );
    }
  });

  it("F1, Matthews' correlation and accuracy", () => {
    for (const row of cases.f1) {
      const logits = row.predictions.flatMap((guess) =>
        Array.from({ length: row.classes }, (_, index) => Number(index === guess)),
      );
      const outputs = { logits: fromNumbers("float32", [row.labels.length, row.classes], logits) };
      if (row.predictions.some((guess) => guess >= row.classes)) continue;
      const batch = { label: labels(row.labels) };
      expectNear(figure(macroF1({ classes: row.classes }), outputs, batch), row.macro_f1);
      expectNear(figure(matthews(), outputs, batch), row.matthews);
      expectNear(figure(accuracy(), outputs, batch), row.accuracy);
    }
  });

  it("top-k", () => {
    for (const row of cases.top_k) {
      const outputs = { scores: double(row.scores) };
      const batch = { label: labels(row.labels) };
      expectNear(figure(topK(1), outputs, batch), row.top_1);
      expectNear(figure(accuracy(), outputs, batch), row.top_1);
      expectNear(figure(topK(3), outputs, batch), row.top_3);
      expectNear(figure(topK(5), outputs, batch), row.top_5);
    }
  });

  it("overlap of boxes, and which detection finds which", () => {
    for (const row of cases.boxes.flatMap((group) => group.cases)) {
      const detectedBoxes = row.boxes.map((box, index) => ({
        box,
        score: row.scores[index] ?? 0,
        class: row.classes[index] ?? 0,
      }));
      const truths = row.truth.map((box, index) => ({ box, class: row.truth_classes[index] ?? 0 }));
      for (const [index, { box }] of detectedBoxes.entries()) {
        for (const [truth, other] of truths.entries())
          expectNear(intersectionOverUnion(box, other.box), row.iou[index]?.[truth] ?? Number.NaN);
      }
      for (const { iou_threshold: threshold, match_of_box: expected } of row.at) {
        const matches = new Map(
          matchBoxes(detectedBoxes, truths, threshold).map(({ detection, truth }) => [detection, truth]),
        );
        expect(detectedBoxes.map((_, index) => matches.get(index) ?? null)).toEqual(expected);
      }
    }
  });

  it("signal to noise", () => {
    for (const row of cases.signal_to_noise) {
      const as = (tensor: GoldenTensor): Batch => ({ y: { ...double(tensor), dims: [3, 4] } as Dense });
      expectNear(figure(signalToNoise(), as(row.other), as(row.reference)), goldenNumber(row.sqnr_db));
    }
  });

  it("agreement and KL divergence", () => {
    for (const row of cases.agreement) {
      const [original, other] = [{ logits: double(row.original_logits) }, { logits: double(row.other_logits) }];
      const rows = meanKl().rows(other, original);
      const expected = goldenNumbers(row.kl_original_other_per_row);
      rows.forEach((value, index) => {
        expectNear(value, expected[index] ?? Number.NaN, 1e-10);
      });
      expectNear(meanKl().reduce(rows), row.mean_kl, 1e-10);
      expectNear(figure(agreement(), other, original), row.top_1_agreement);
    }
  });

  it("mean cross-entropy is the mean of nats where no label is masked", () => {
    for (const row of cases.perplexity) {
      const batch = { label: labels(goldenNumbers(row.labels), row.labels.shape) };
      const loss = estimate(crossEntropy(), crossEntropy().rows({ logits: double(row.logits) }, batch)).value;
      expectNear(Math.exp(loss), figure(perplexity(), { logits: double(row.logits) }, batch));
    }
  });
});
